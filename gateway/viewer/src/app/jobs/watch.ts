/** One stream of a job's events that resumes by sequence through every loss, to the job's end. */
import { Code, ConnectError } from '@connectrpc/connect';
import { Job_State, type WatchJobResponse } from '../../gen/epipar/scene/v1/job_service_pb';
import type { JobClient } from '../api/clients';

/** The part of the client that a watch needs. */
export type WatchClient = Pick<JobClient, 'watchJob' | 'getJob'>;

/** What a watch reports of its stream: it lives, or it is being opened again. */
export type WatchStatus = 'live' | 'reconnecting';

export interface WatchParts {
  readonly client: WatchClient;
  readonly onStatus: (status: WatchStatus) => void;
  /** Fires "wake" when a try is likely to succeed: network back, page in view. */
  readonly wake: EventTarget;
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** A stream without even a heartbeat for so long is dead. */
  readonly silenceMs: number;
  /** A stream older than this since its last message is opened anew on "wake". */
  readonly staleMs: number;
  /** 0 to 1, for the jitter. */
  readonly random: () => number;
}

export const WATCH_DEFAULTS = {
  onStatus: () => undefined,
  firstWaitMs: 200,
  longestWaitMs: 5000,
  silenceMs: 30_000,
  staleMs: 12_000,
  random: Math.random,
} as const;

/** The server skipped events, again and again: take a fresh snapshot and watch from there. */
export class WatchGapError extends Error {
  constructor(name: string, after: bigint, got: bigint) {
    super(`${name} sent event ${got} after event ${after}; the next is ${after + 1n}`);
    this.name = 'WatchGapError';
  }
}

const GAPS_TOLERATED = 3;

/** Nothing that a repeat could mend. */
const FINAL_CODES: readonly Code[] = [
  Code.NotFound,
  Code.InvalidArgument,
  Code.OutOfRange,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
];

export const isTerminal = (state: Job_State): boolean =>
  state === Job_State.SUCCEEDED || state === Job_State.FAILED || state === Job_State.CANCELLED;

/**
 * Deliver every event of a job after a sequence number, each once and in order.
 *
 * Args:
 *   name: "jobs/{job}".
 *   afterSequence: the last event that is known; 0 for none.
 *   onEvent: gets each event; heartbeats are not delivered.
 *   signal: ends the watch; the promise then resolves.
 *   parts: the client, and how patient to be.
 *
 * Returns:
 *   The last sequence, once the terminal event was delivered or the signal fired.
 *
 * Throws:
 *   ConnectError: the job does not exist, or the caller may not see it.
 *   WatchGapError: the server has lost events.
 */
export async function watchJob(
  name: string,
  afterSequence: bigint,
  onEvent: (event: WatchJobResponse) => void,
  signal: AbortSignal,
  parts: WatchParts,
): Promise<bigint> {
  let last = afterSequence;
  let gaps = 0;
  let failures = 0;
  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    const before = last;
    const end = await follow(name, last, signal, parts, (event) => {
      last = event.sequence;
      gaps = 0;
      onEvent(event);
    });
    if (end.kind === 'ended' || isOver()) return last;
    if (end.kind === 'closed' && (await hasEnded(name, last, signal, parts))) return last;
    if (end.kind === 'gap' && ++gaps >= GAPS_TOLERATED)
      throw new WatchGapError(name, last, end.got);
    failures = last > before || end.heard ? 0 : failures + 1;
    parts.onStatus('reconnecting');
    const longest = Math.min(parts.longestWaitMs, parts.firstWaitMs * 2 ** Math.min(failures, 10));
    await sleep(longest * (0.5 + parts.random() / 2), signal, parts.wake);
  }
  return last;
}

type End =
  | { readonly kind: 'ended' }
  | { readonly kind: 'closed' | 'lost'; readonly heard: boolean }
  | { readonly kind: 'gap'; readonly heard: boolean; readonly got: bigint };

/** Follow one stream until it ends in any way; only errors that no repeat can mend are thrown. */
async function follow(
  name: string,
  after: bigint,
  signal: AbortSignal,
  parts: WatchParts,
  deliver: (event: WatchJobResponse) => void,
): Promise<End> {
  let last = after;
  const pulse = new Pulse(signal, parts);
  try {
    const stream = parts.client.watchJob(
      { name, afterSequence: after },
      { signal: pulse.signal, timeoutMs: 0, onHeader: pulse.onHeader },
    );
    for await (const event of stream) {
      if (pulse.signal.aborted) break;
      pulse.beat();
      if (event.event.case === 'heartbeat' || event.sequence <= last) continue;
      if (event.sequence !== last + 1n) return { kind: 'gap', heard: true, got: event.sequence };
      last = event.sequence;
      deliver(event);
      if (event.event.case === 'job' && isTerminal(event.event.value.state))
        return { kind: 'ended' };
    }
    return { kind: 'closed', heard: pulse.heard };
  } catch (error) {
    const failure = ConnectError.from(error);
    if (!pulse.signal.aborted && FINAL_CODES.includes(failure.code)) throw error;
    return { kind: 'lost', heard: pulse.heard };
  } finally {
    pulse.stop();
  }
}

/** The life of one stream: aborts it when it is silent, stale at a wake, or no longer wanted. */
class Pulse {
  heard = false;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #parts: WatchParts;
  #lastBeat = Date.now();
  #timer: ReturnType<typeof setTimeout>;

  constructor(outer: AbortSignal, parts: WatchParts) {
    this.#outer = outer;
    this.#parts = parts;
    this.#timer = setTimeout(this.stop, parts.silenceMs);
    outer.addEventListener('abort', this.stop);
    parts.wake.addEventListener('wake', this.#onWake);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The server has answered; whether it has something to say is another matter. */
  readonly onHeader = (): void => {
    if (!this.signal.aborted) this.#parts.onStatus('live');
  };

  beat(): void {
    this.heard = true;
    this.#lastBeat = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.stop, this.#parts.silenceMs);
    this.#parts.onStatus('live');
  }

  /** Leaving a `for await` does not cancel a call: the signal does. */
  readonly stop = (): void => {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.stop);
    this.#parts.wake.removeEventListener('wake', this.#onWake);
    this.#controller.abort();
  };

  readonly #onWake = (): void => {
    if (Date.now() - this.#lastBeat > this.#parts.staleMs) this.stop();
  };
}

/** True where a stream closed without a last event because the job's last event was known already. */
async function hasEnded(
  name: string,
  last: bigint,
  signal: AbortSignal,
  parts: WatchParts,
): Promise<boolean> {
  try {
    const { job } = await parts.client.getJob({ name }, { signal });
    return job !== undefined && isTerminal(job.state) && job.lastSequence <= last;
  } catch (error) {
    if (FINAL_CODES.includes(ConnectError.from(error).code)) throw error;
    return false;
  }
}

/** Wait; an abort or a wake ends it early. */
function sleep(ms: number, signal: AbortSignal, wake: EventTarget): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      wake.removeEventListener('wake', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    wake.addEventListener('wake', done);
    if (signal.aborted) done();
  });
}

/** The browser's signs that a new try is likely to succeed. */
export function pageWake(): EventTarget {
  const wake = new EventTarget();
  const fire = (): void => void wake.dispatchEvent(new Event('wake'));
  window.addEventListener('online', fire);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) fire();
  });
  return wake;
}
