// @vitest-environment happy-dom
/** Uploads queue, pause, resume, fail in words, and start exactly one job each. */
import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeProblem, ProblemError } from '../../../src/app/api/errors';
import { sortFiles } from '../../../src/app/upload/checks';
import { Meter } from '../../../src/app/upload/meter';
import { UploadQueue, type UploadState } from '../../../src/app/upload/queue';
import {
  nameOf,
  type EarlierUpload,
  type Sender,
  type SendRequest,
} from '../../../src/app/upload/sender';
import { JobSchema, type Job } from '../../../src/gen/epipar/scene/v1/job_service_pb';

const file = (name: string, size = 10): File =>
  new File([new Uint8Array(size)], name, { lastModified: 1 });

/** A sender whose sends end when a test says so. */
class HeldSender implements Sender {
  readonly sends: {
    request: SendRequest;
    resolve: (name: string) => void;
    reject: (why: unknown) => void;
  }[] = [];
  readonly forgotten: string[] = [];
  readonly discarded: string[] = [];
  stored: EarlierUpload[] = [];

  send(request: SendRequest): Promise<string> {
    return new Promise((resolve, reject) => {
      this.sends.push({ request, resolve, reject });
      request.signal.addEventListener('abort', () => {
        reject(request.signal.reason as Error);
      });
      request.onName(`uploads/u${this.sends.length}`);
    });
  }
  forget(url: string): Promise<void> {
    this.forgotten.push(url);
    return Promise.resolve();
  }
  discard(url: string): Promise<void> {
    this.discarded.push(url);
    return Promise.resolve();
  }
  earlier = (): Promise<EarlierUpload[]> => Promise.resolve(this.stored);
  maxBytes = (): Promise<number> => Promise.resolve(1000);
}

class Starter {
  readonly requests: { upload?: string; requestId?: string }[] = [];
  refusal: Error | undefined;

  reconstruction(request: { upload?: string; requestId?: string }): Promise<Job> {
    this.requests.push(request);
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    return Promise.resolve(create(JobSchema, { name: 'jobs/j', scene: 'scenes/s' }));
  }
}

let sender: HeldSender;
let starter: Starter;
let queue: UploadQueue;

beforeEach(() => {
  sender = new HeldSender();
  starter = new Starter();
  queue = new UploadQueue(starter, sender);
});

const states = (): UploadState[] => queue.items.map(({ state }) => state);

/** Resolve when the queue looks so. */
function until(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) return;
      queue.removeEventListener('change', look);
      resolve();
    };
    queue.addEventListener('change', look);
    look();
  });
}

const untilSending = (count: number): Promise<void> => until(() => sender.sends.length === count);

describe('an upload', () => {
  it('is sent, and its reconstruction started once', async () => {
    await queue.add([file('clip.mp4')]);
    await untilSending(1);
    sender.sends[0]?.resolve('uploads/u1');
    await until(() => states()[0] === 'done');
    expect(starter.requests).toEqual([{ upload: 'uploads/u1', requestId: 'u1' }]);
    expect(queue.items[0]).toMatchObject({ title: 'clip', job: 'jobs/j', scene: 'scenes/s' });
    expect(sender.forgotten).toEqual(['/uploads/u1']);
    expect(queue.busy).toBe(false);
  });

  it('waits for the one before it', async () => {
    await queue.add([file('a.mp4'), file('b.mov')]);
    await untilSending(1);
    expect(states()).toEqual(['sending', 'waiting']);
    sender.sends[0]?.resolve('uploads/u1');
    await untilSending(2);
    expect(states()[0]).toBe('done');
  });

  it('carries its hash where it is small', async () => {
    await queue.add([file('clip.mp4', 3)]);
    await untilSending(1);
    expect(sender.sends[0]?.request.sha256).toBe(
      '709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c',
    );
  });

  it('pauses and goes on, and lets the next one go first', async () => {
    await queue.add([file('a.mp4'), file('b.mp4')]);
    await untilSending(1);
    queue.pause(1);
    await untilSending(2);
    expect(states()).toEqual(['paused', 'sending']);
    sender.sends[1]?.resolve('uploads/u2');
    await until(() => states()[1] === 'done');
    queue.resume(1);
    await untilSending(3);
    sender.sends[2]?.resolve('uploads/u1');
    await until(() => states()[0] === 'done');
    expect(sender.sends[2]?.request.fingerprint).toBe(sender.sends[0]?.request.fingerprint);
  });

  it('that the server refuses fails in words, can be tried again, and holds nobody up', async () => {
    await queue.add([file('a.mp4'), file('b.mp4')]);
    await untilSending(1);
    sender.sends[0]?.reject(new ProblemError(makeProblem('UNREADABLE_VIDEO', 'a.mp4 is no video')));
    await untilSending(2);
    expect(queue.items[0]).toMatchObject({
      state: 'failed',
      problem: { reason: 'UNREADABLE_VIDEO' },
    });
    expect(sender.discarded).toEqual(['/uploads/u1']);
    sender.sends[1]?.resolve('uploads/u2');
    await until(() => states()[1] === 'done');
    queue.resume(1);
    await untilSending(3);
    expect(queue.items[0]?.problem).toBeUndefined();
  });

  it('that lost its server is kept there', async () => {
    await queue.add([file('a.mp4')]);
    await untilSending(1);
    sender.sends[0]?.reject(new ProblemError(makeProblem('SERVER_AWAY')));
    await until(() => states()[0] === 'failed');
    expect(sender.discarded).toEqual([]);
  });

  it('whose job was refused is not sent again', async () => {
    starter.refusal = new ProblemError(makeProblem('TOO_MANY_REQUESTS'));
    await queue.add([file('a.mp4')]);
    await untilSending(1);
    sender.sends[0]?.resolve('uploads/u1');
    await until(() => states()[0] === 'failed');
    expect(sender.discarded).toEqual([]);
    starter.refusal = undefined;
    queue.resume(1);
    await until(() => states()[0] === 'done');
    expect(sender.sends).toHaveLength(1);
    expect(starter.requests.map(({ requestId }) => requestId)).toEqual(['u1', 'u1']);
  });

  it('that is removed is stopped and taken from the server', async () => {
    await queue.add([file('a.mp4')]);
    await untilSending(1);
    queue.remove(1);
    expect(queue.items).toEqual([]);
    expect(sender.sends[0]?.request.signal.aborted).toBe(true);
    expect(sender.discarded).toEqual(['/uploads/u1']);
  });

  it('of photos goes as one ZIP', async () => {
    await queue.add([file('b.jpg', 4), file('a.jpg', 4), file('c.png', 4)]);
    await untilSending(1);
    expect(sender.sends[0]?.request.file).toMatchObject({
      name: 'photos.zip',
      type: 'application/zip',
    });
    expect(queue.items[0]?.title).toBe('3 photos');
  });
});

describe('an earlier visit', () => {
  const earlier = (sealed: boolean): EarlierUpload => ({
    url: '/uploads/old', name: 'uploads/old', title: 'Old', sizeBytes: 10, sentBytes: sealed ? 10 : 4, sealed,
  }); // prettier-ignore

  it('that left a whole upload has its job started', async () => {
    sender.stored = [earlier(true)];
    await queue.findEarlier();
    await until(() => states()[0] === 'done');
    expect(starter.requests).toEqual([{ upload: 'uploads/old', requestId: 'old' }]);
  });

  it('that left a part is offered, and can be given up', async () => {
    sender.stored = [earlier(false)];
    await queue.findEarlier();
    expect(queue.earlier).toHaveLength(1);
    expect(starter.requests).toEqual([]);
    const [upload] = queue.earlier;
    if (upload) await queue.dismiss(upload);
    expect(queue.earlier).toEqual([]);
    expect(sender.discarded).toEqual(['/uploads/old']);
  });
});

describe('sortFiles', () => {
  const reasons = (files: File[], max = 1000): string[] =>
    sortFiles(files, max).refused.map(({ problem }) => problem.reason);

  it('makes a scene of each video and ZIP, and one of all photos in their order', () => {
    const { parcels, refused } = sortFiles(
      [file('x.MP4'), file('10.jpg'), file('y.zip'), file('9.jpg'), file('1.jpeg')], 1000); // prettier-ignore
    expect(refused).toEqual([]);
    expect(parcels.map(({ title }) => title)).toEqual(['x', 'y', '3 photos']);
    expect(parcels[2]?.files.map(({ name }) => name)).toEqual(['1.jpeg', '9.jpg', '10.jpg']);
  });

  it('refuses before a byte is sent, in words', () => {
    expect(reasons([file('notes.txt')])).toEqual(['UPLOAD_TYPE']);
    expect(reasons([file('clip.mp4', 0)])).toEqual(['UPLOAD_EMPTY']);
    expect(reasons([file('clip.mp4', 2000)])).toEqual(['INPUT_TOO_LARGE']);
    expect(reasons([file('a.jpg'), file('b.jpg')])).toEqual(['TOO_FEW_FRAMES']);
    expect(reasons([file('a.jpg', 500), file('b.jpg', 400), file('c.jpg', 400)])).toEqual([
      'INPUT_TOO_LARGE',
    ]);
  });

  it('takes what is good and refuses the rest', () => {
    const { parcels, refused } = sortFiles([file('clip.mp4'), file('notes.txt')], 1000);
    expect([parcels.length, refused.length]).toEqual([1, 1]);
  });
});

describe('Meter', () => {
  it('tells speed and time left of the last seconds', () => {
    const meter = new Meter();
    for (let second = 0; second <= 10; second++)
      meter.note(second < 5 ? 0 : (second - 5) * 100, second * 1000);
    expect(meter.speed).toBeGreaterThan(60);
    expect(meter.remaining(1000)).toBeGreaterThan(0);
  });

  it('tells nothing before it knows something', () => {
    const meter = new Meter();
    meter.note(100, 0);
    expect([meter.speed, meter.remaining(1000)]).toEqual([0, 0]);
  });
});

it('an upload is named by the end of its address', () => {
  expect(nameOf('http://host/uploads/abc/')).toBe('uploads/abc');
});
