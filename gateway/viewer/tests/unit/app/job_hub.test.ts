// @vitest-environment happy-dom
/** One stream a page, shared; what was seen before a reload is not seen again. */
/* eslint @typescript-eslint/require-await: off -- a stream may be scripted without waiting */
import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeClients, type JobClient } from '../../../src/app/api/clients';
import { JOB_EVENT, JobHub, type JobView } from '../../../src/app/jobs/job_hub';
import { JobStarter } from '../../../src/app/jobs/starter';
import { Job_Kind, Job_State, JobService } from '../../../src/gen/epipar/scene/v1/job_service_pb';
import { jobNow, scriptJob, type ScriptedJob } from '../../fake/script';

const ONE = 'jobs/one34567abcd';
const TWO = 'jobs/two34567abcd';

let scripts: Map<string, ScriptedJob>;
let calls: { name: string; after: number; signal: AbortSignal }[];
let retried: { name: string; requestId: string }[];
let client: JobClient;

beforeEach(() => {
  sessionStorage.clear();
  scripts = new Map([ONE, TWO].map((name) => [name, scriptJob(name, 'scenes/s', Job_Kind.EXPORT)]));
  calls = [];
  retried = [];
  const find = (name: string): ScriptedJob => {
    const script = scripts.get(name);
    if (!script) throw new ConnectError(`${name} does not exist`, Code.NotFound);
    return script;
  };
  const transport = createRouterTransport(({ service }) => {
    service(JobService, {
      getJob: ({ name }) => ({ job: jobNow(find(name)) }),
      async *watchJob({ name, afterSequence }, { signal }) {
        calls.push({ name, after: Number(afterSequence), signal });
        const { events, released } = find(name);
        yield* events.slice(Number(afterSequence), released);
        if (released < events.length)
          await new Promise((end) => {
            signal.addEventListener('abort', end);
          });
      },
      retryJob: ({ name, requestId }) => {
        retried.push({ name, requestId });
        return { job: jobNow(find(TWO)) };
      },
      startExport: () => ({}),
    });
  });
  client = makeClients(transport).jobs;
});

/** Follow a job until it looks so. */
function until(hub: JobHub, name: string, holds: (view: JobView) => boolean): Promise<() => void> {
  return new Promise((resolve) => {
    const leave = hub.subscribe(name, (view) => {
      if (holds(view))
        queueMicrotask(() => {
          resolve(leave);
        });
    });
  });
}

const at = (sequence: number) => (view: JobView) => Number(view.sequence) === sequence;

describe('JobHub', () => {
  it('follows a job to its end', async () => {
    const script = scripts.get(ONE);
    if (script) script.released = script.events.length;
    const hub = new JobHub(client);
    await until(hub, ONE, ({ job }) => job?.state === Job_State.SUCCEEDED);
  });

  it('has one stream, of the job that was asked for last', async () => {
    const hub = new JobHub(client);
    await until(hub, ONE, at(1));
    await expect.poll(() => calls.length).toBe(1);
    await until(hub, TWO, at(1));
    await expect.poll(() => calls.map(({ name, signal }) => [name, signal.aborted])).toEqual([[ONE, true], [TWO, false]]); // prettier-ignore
  });

  it('shares the stream among all who look', async () => {
    const hub = new JobHub(client);
    await until(hub, ONE, at(1));
    await until(hub, ONE, at(1));
    await expect.poll(() => calls.length).toBe(1);
  });

  it('lets the stream go when nobody looks', async () => {
    const hub = new JobHub(client);
    const leave = await until(hub, ONE, at(1));
    await expect.poll(() => calls.length).toBe(1);
    leave();
    expect(calls[0]?.signal.aborted).toBe(true);
  });

  it('goes on after a reload from the event it had seen', async () => {
    const script = scripts.get(ONE);
    const heard: number[] = [];
    const listen = (event: Event): void =>
      void heard.push((event as CustomEvent<{ sequence: number }>).detail.sequence);
    window.addEventListener(JOB_EVENT, listen);
    const leave = await until(new JobHub(client), ONE, at(1));
    await expect.poll(() => calls.length).toBe(1);
    leave(); // As a page does when it goes.
    if (script) script.released = 6;
    await until(new JobHub(client), ONE, at(6));
    window.removeEventListener(JOB_EVENT, listen);
    expect(calls.map(({ after }) => after)).toEqual([1, 1]);
    expect(heard).toEqual([2, 3, 4, 5, 6]);
  });

  it('says in words that a job does not exist', async () => {
    scripts.delete(ONE);
    await until(new JobHub(client), ONE, ({ problem }) => problem?.reason === 'NOT_FOUND');
    expect(calls).toEqual([]);
  });
});

describe('JobStarter', () => {
  it('has a failed job tried again by the gateway, each time as a request of its own', async () => {
    const starter = new JobStarter(client);
    const failed = jobNow(scriptJob(ONE, 'scenes/s', Job_Kind.EXPORT));
    expect((await starter.again(failed)).name).toBe(TWO);
    await starter.again(failed);
    expect(retried.map(({ name }) => name)).toEqual([ONE, ONE]);
    const [first, second] = retried.map(({ requestId }) => requestId);
    expect(first).toMatch(/^[0-9a-f]{32}$/);
    expect(second).not.toBe(first);
  });

  it('says so where a gateway answers without a job', async () => {
    await expect(new JobStarter(client).export({ scene: 'scenes/s' })).rejects.toThrow(
      'without a job',
    );
  });
});
