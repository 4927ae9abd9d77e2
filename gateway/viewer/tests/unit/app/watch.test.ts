// @vitest-environment happy-dom
/** A watch delivers every event once and in order, whatever happens to its streams. */
/* eslint @typescript-eslint/require-await: off -- a stream may be scripted without waiting */
import { Code, ConnectError, createRouterTransport } from '@connectrpc/connect';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { makeClients } from '../../../src/app/api/clients';
import {
  watchJob,
  WatchGapError,
  WATCH_DEFAULTS,
  type WatchParts,
} from '../../../src/app/jobs/watch';
import {
  Job_Kind,
  JobService,
  WatchJobResponseSchema,
  type WatchJobResponse,
} from '../../../src/gen/epipar/scene/v1/job_service_pb';
import { jobNow, scriptJob } from '../../fake/script';

const NAME = 'jobs/test34567abc';
const SCRIPT = scriptJob(NAME, 'scenes/test', Job_Kind.EXPORT);
SCRIPT.released = SCRIPT.events.length;
const ALL = SCRIPT.events.map(({ sequence }) => Number(sequence));

interface Call {
  readonly after: number;
  /** 1 for the first stream. */
  readonly number: number;
  readonly signal: AbortSignal;
}
type Behaviour = (call: Call) => AsyncIterable<WatchJobResponse>;

const after = (sequence: number): WatchJobResponse[] => SCRIPT.events.slice(sequence);
const heartbeat = (sequence: number): WatchJobResponse =>
  create(WatchJobResponseSchema, {
    sequence: BigInt(sequence),
    event: { case: 'heartbeat', value: {} },
  });
const lost = (): ConnectError => new ConnectError('connection lost', Code.Unavailable);
const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });

async function* all({ after: from }: Call): AsyncGenerator<WatchJobResponse> {
  yield* after(from);
}

function serve(behave: Behaviour, calls: Call[] = []): WatchParts['client'] {
  const transport = createRouterTransport(({ service }) => {
    service(JobService, {
      getJob: () => ({ job: jobNow(SCRIPT) }),
      watchJob({ afterSequence }, { signal }) {
        const call = { after: Number(afterSequence), number: calls.length + 1, signal };
        calls.push(call);
        return behave(call);
      },
    });
  });
  return makeClients(transport).jobs;
}

async function watch(
  behave: Behaviour,
  options: Partial<WatchParts> & { from?: number; calls?: Call[]; signal?: AbortSignal } = {},
): Promise<number[]> {
  const seen: number[] = [];
  const { from = 0, calls, signal = new AbortController().signal, ...parts } = options;
  await watchJob(NAME, BigInt(from), ({ sequence }) => seen.push(Number(sequence)), signal, {
    ...WATCH_DEFAULTS,
    client: serve(behave, calls),
    wake: new EventTarget(),
    firstWaitMs: 1,
    longestWaitMs: 2,
    ...parts,
  });
  return seen;
}

describe('watchJob', () => {
  it('delivers all events of a stream that nothing happens to, and ends', async () => {
    const calls: Call[] = [];
    expect(await watch(all, { calls })).toEqual(ALL);
    expect(calls).toHaveLength(1);
  });

  it.each([0, ...ALL.slice(0, -1)])('resumes after a loss behind event %i', async (cut) => {
    const calls: Call[] = [];
    const seen = await watch(
      async function* ({ after: from, number }) {
        if (number > 1) return yield* after(from);
        yield* after(from).slice(0, cut);
        throw lost();
      },
      { calls },
    );
    expect(seen).toEqual(ALL);
    expect(calls.map((call) => call.after)).toEqual([0, cut]);
  });

  it('survives a server that dies after each single event', async () => {
    const seen = await watch(async function* ({ after: from }) {
      yield* after(from).slice(0, 1);
      throw lost();
    });
    expect(seen).toEqual(ALL);
  });

  it('drops what a server sends twice', async () => {
    const seen = await watch(async function* ({ number }) {
      yield* after(0).slice(0, number === 1 ? 5 : Infinity);
      if (number === 1) throw lost();
    });
    expect(seen).toEqual(ALL);
  });

  it('goes on from where a reload left it', async () => {
    expect(await watch(all, { from: 4 })).toEqual(ALL.slice(4));
  });

  it('does not deliver heartbeats', async () => {
    const seen = await watch(async function* ({ after: from }) {
      for (const event of after(from)) {
        yield event;
        yield heartbeat(Number(event.sequence));
      }
    });
    expect(seen).toEqual(ALL);
  });

  it('opens a silent stream anew, and cancels the silent one', async () => {
    const calls: Call[] = [];
    const seen = await watch(
      async function* ({ after: from, number, signal }) {
        if (number > 1) return yield* after(from);
        yield* after(from).slice(0, 3);
        await untilAborted(signal);
      },
      { silenceMs: 20, calls },
    );
    expect(seen).toEqual(ALL);
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(calls[1]?.after).toBe(3);
  });

  it('opens a stale stream anew at once when the network is back', async () => {
    const wake = new EventTarget();
    const seen = await watch(
      async function* ({ after: from, number, signal }) {
        if (number > 1) return yield* after(from);
        yield* after(from).slice(0, 2);
        setTimeout(() => wake.dispatchEvent(new Event('wake')), 5);
        await untilAborted(signal);
      },
      { wake, staleMs: 0, silenceMs: 1e9 },
    );
    expect(seen).toEqual(ALL);
  });

  it('does not wait out its pause when the network is back', async () => {
    const wake = new EventTarget();
    const seen = await watch(
      async function* ({ after: from, number }) {
        if (number > 1) return yield* after(from);
        setTimeout(() => wake.dispatchEvent(new Event('wake')), 5);
        throw lost();
      },
      { wake, firstWaitMs: 1e9, longestWaitMs: 1e9 },
    );
    expect(seen).toEqual(ALL);
  });

  it('tells that it reconnects, and that it lives again', async () => {
    const told: string[] = [];
    await watch(
      async function* ({ after: from, number }) {
        yield* after(from).slice(0, number === 1 ? 1 : Infinity);
        if (number === 1) throw lost();
      },
      { onStatus: (status) => told.push(status) },
    );
    expect(told.filter((status, at) => status !== told[at - 1])).toEqual([
      'live',
      'reconnecting',
      'live',
    ]);
  });

  it('ends where the terminal event was known already', async () => {
    expect(await watch(all, { from: ALL.length })).toEqual([]);
  });

  it('tries again where a stream closes before the end', async () => {
    const calls: Call[] = [];
    const seen = await watch(
      async function* ({ after: from, number }) {
        yield* after(from).slice(0, number === 1 ? 2 : Infinity);
      },
      { calls },
    );
    expect(seen).toEqual(ALL);
    expect(calls).toHaveLength(2);
  });

  it('never delivers what comes after a hole, and says so when it stays', async () => {
    const seen: number[] = [];
    const watching = watchJob(
      NAME,
      0n,
      ({ sequence }) => seen.push(Number(sequence)),
      new AbortController().signal,
      {
        ...WATCH_DEFAULTS,
        client: serve(async function* ({ after: from }) {
          yield* after(from).filter(({ sequence }) => sequence !== 3n);
        }),
        wake: new EventTarget(),
        firstWaitMs: 1,
        longestWaitMs: 2,
      },
    );
    await expect(watching).rejects.toBeInstanceOf(WatchGapError);
    expect(seen).toEqual([1, 2]);
  });

  it.each([Code.NotFound, Code.InvalidArgument, Code.PermissionDenied, Code.Unauthenticated])(
    'gives up on what no repeat can mend (code %i)',
    async (code) => {
      const calls: Call[] = [];
      const watching = watch(
        // eslint-disable-next-line require-yield -- the stream fails at once
        async function* () {
          throw new ConnectError('no', code);
        },
        { calls },
      );
      await expect(watching).rejects.toMatchObject({ code });
      expect(calls).toHaveLength(1);
    },
  );

  it('stops when nobody wants it any more, and cancels its stream', async () => {
    const controller = new AbortController();
    const calls: Call[] = [];
    const seen = await watch(
      async function* ({ after: from, signal }) {
        yield* after(from).slice(0, 2);
        setTimeout(() => {
          controller.abort();
        }, 5);
        await untilAborted(signal);
      },
      { calls, signal: controller.signal },
    );
    expect(seen).toEqual([1, 2]);
    expect(calls[0]?.signal.aborted).toBe(true);
  });

  it('waits longer after each failure, up to a bound, with jitter', async () => {
    const waits: number[] = [];
    const original = globalThis.setTimeout;
    const wake = new EventTarget();
    await watch(
      async function* ({ after: from, number }) {
        if (number > 6) return yield* after(from);
        throw lost();
      },
      {
        wake,
        firstWaitMs: 8,
        longestWaitMs: 40,
        random: () => {
          // A watch asks for a random number once for each wait: end the wait at once.
          original(() => wake.dispatchEvent(new Event('wake')), 0);
          waits.push(waits.length);
          return 1;
        },
      },
    );
    expect(waits).toHaveLength(6);
  });
});
