/**
 * The one watch stream of a page, shared by all that look at a job.
 *
 * HTTP/1.1 allows six connections an origin, all tabs together: only the job that was asked for
 * last is streamed, the others are asked for now and then, and a page that nobody looks at lets
 * its stream go.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { JobSchema, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import type { JobClient } from '../api/clients';
import { problemOf, type Problem } from '../api/errors';
import { pack, unpack } from '../packed';
import { applyEvent, isActive, snapshotOf, type JobSnapshot } from './job_state';
import { pageWake, watchJob, WATCH_DEFAULTS, WatchGapError, type WatchStatus } from './watch';

/** What a subscriber sees of its job. */
export interface JobView extends Partial<JobSnapshot> {
  /** The stream is being opened again; what is shown is the last that is known. */
  readonly stale: boolean;
  readonly problem?: Problem;
}

type Listener = (view: JobView) => void;

const POLL_MS = 4000;
const HIDDEN_GRACE_MS = 20_000;
const MEMORY_PREFIX = 'epipar.job.';

/** Fired on window for each delivered event: what tests and embedding pages count. */
export const JOB_EVENT = 'epipar-job-event';

export class JobHub {
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #views = new Map<string, JobView>();
  readonly #order: string[] = [];
  readonly #wake: EventTarget;
  #streamed: { readonly name: string; readonly controller: AbortController } | undefined;
  #poll: ReturnType<typeof setInterval> | undefined;
  #hiddenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly client: JobClient,
    private readonly onReach: (status: WatchStatus) => void = () => undefined,
    wake: EventTarget = pageWake(),
  ) {
    this.#wake = wake;
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hiddenTimer);
      if (document.hidden) this.#hiddenTimer = setTimeout(this.#rest, HIDDEN_GRACE_MS);
      else this.#arrange();
    });
    window.addEventListener('pagehide', () => {
      for (const name of this.#views.keys()) this.#remember(name);
    });
  }

  /** Follow a job; the listener gets what is known at once and each change after. Returns the end of it. */
  subscribe(name: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(name, listeners);
    forget(this.#order, name);
    this.#order.push(name);
    if (!this.#views.has(name)) this.#views.set(name, recall(name));
    listener(this.#viewOf(name));
    this.#arrange();
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      this.#remember(name);
      this.#listeners.delete(name);
      this.#views.delete(name);
      forget(this.#order, name);
      this.#arrange();
    };
  }

  /** Take a job that a unary call answered, where it is newer than what is known. */
  offer(job: Job): void {
    const view = this.#views.get(job.name);
    if (!view || (view.sequence ?? -1n) >= job.lastSequence) return;
    // The stream is the only one to move the job that it follows: nothing may come twice.
    if (this.#streamed?.name === job.name && view.job) return;
    this.#show(job.name, { ...snapshotOf(job), stale: false });
    this.#arrange();
  }

  #viewOf(name: string): JobView {
    return this.#views.get(name) ?? { stale: false };
  }

  #show(name: string, view: JobView): void {
    if (!this.#listeners.has(name)) return;
    this.#views.set(name, view);
    for (const listener of this.#listeners.get(name) ?? []) listener(view);
  }

  /** Stream the job that was asked for last and is not known to have ended; poll the others. */
  #arrange(): void {
    const live = this.#order.filter((name) => this.#isLive(name));
    const wanted = live.at(-1);
    if (this.#streamed?.name !== wanted) {
      this.#streamed?.controller.abort();
      this.#streamed = undefined;
      if (wanted !== undefined && !document.hidden) void this.#stream(wanted);
    }
    clearInterval(this.#poll);
    if (live.length > 1) this.#poll = setInterval(() => void this.#ask(), POLL_MS);
  }

  #isLive(name: string): boolean {
    const { job, problem } = this.#viewOf(name);
    return problem === undefined && (job === undefined || isActive(job.state));
  }

  async #stream(name: string): Promise<void> {
    const controller = new AbortController();
    const mine = { name, controller };
    this.#streamed = mine;
    try {
      await this.#follow(name, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) {
        this.#show(name, { ...this.#viewOf(name), stale: false, problem: problemOf(error) });
      }
    }
    this.#remember(name);
    if (this.#streamed === mine) {
      this.#streamed = undefined;
      this.#arrange();
    }
  }

  async #follow(name: string, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (attempt > 1 || !this.#viewOf(name).job) {
        const { job } = await this.client.getJob({ name }, { signal });
        if (job) this.#show(name, { ...snapshotOf(job), stale: false });
        if (job && !isActive(job.state)) return;
      }
      const after = this.#viewOf(name).sequence ?? 0n;
      try {
        await watchJob(
          name,
          after,
          (event) => {
            this.#apply(name, event);
          },
          signal,
          {
            ...WATCH_DEFAULTS,
            client: this.client,
            wake: this.#wake,
            onStatus: (status) => {
              this.#setStatus(name, status);
            },
          },
        );
        return;
      } catch (error) {
        if (attempt > 1 || !canStartAfresh(error, after)) throw error;
      }
    }
  }

  #apply(name: string, event: Parameters<typeof applyEvent>[1]): void {
    const { job, sequence, remainingS } = this.#viewOf(name);
    const before =
      job && sequence !== undefined ? { job, sequence, remainingS: remainingS ?? 0 } : undefined;
    this.#show(name, { ...applyEvent(before, event), stale: false });
    const detail = { name, sequence: Number(event.sequence), kind: event.event.case };
    window.dispatchEvent(new CustomEvent(JOB_EVENT, { detail }));
  }

  #setStatus(name: string, status: WatchStatus): void {
    this.onReach(status);
    const view = this.#viewOf(name);
    if (view.stale !== (status !== 'live')) this.#show(name, { ...view, stale: status !== 'live' });
  }

  /** Ask for the jobs that are not streamed. */
  async #ask(): Promise<void> {
    if (document.hidden) return;
    const names = this.#order.filter((name) => name !== this.#streamed?.name && this.#isLive(name));
    for (const name of names) {
      try {
        const { job } = await this.client.getJob({ name });
        if (job) this.offer(job);
      } catch (error) {
        if (ConnectError.from(error).code !== Code.NotFound) return; // The next poll tries again.
        this.#show(name, { ...this.#viewOf(name), problem: problemOf(error) });
      }
    }
  }

  readonly #rest = (): void => {
    this.#streamed?.controller.abort();
    this.#streamed = undefined;
    clearInterval(this.#poll);
  };

  /** Keep what is known for a reload of this tab: the watch goes on from there. */
  #remember(name: string): void {
    const { job, sequence } = this.#viewOf(name);
    if (!job || sequence === undefined) return;
    try {
      if (!isActive(job.state)) {
        sessionStorage.removeItem(MEMORY_PREFIX + name);
        return;
      }
      const value = { sequence: sequence.toString(), job: pack(JobSchema, job) };
      sessionStorage.setItem(MEMORY_PREFIX + name, JSON.stringify(value));
    } catch {
      // A full or forbidden storage costs a replay, no more.
    }
  }
}

function recall(name: string): JobView {
  try {
    const text = sessionStorage.getItem(MEMORY_PREFIX + name);
    if (text === null) return { stale: false };
    const { sequence, job } = JSON.parse(text) as { sequence: string; job: string };
    const known = unpack(JobSchema, job);
    return { ...snapshotOf(known), sequence: BigInt(sequence), stale: false };
  } catch {
    return { stale: false };
  }
}

/** A sequence that the server does not know, or a hole in what it has: a snapshot mends both. */
function canStartAfresh(error: unknown, after: bigint): boolean {
  if (error instanceof WatchGapError) return true;
  const { code } = ConnectError.from(error);
  return after > 0n && (code === Code.InvalidArgument || code === Code.OutOfRange);
}

function forget(list: string[], name: string): void {
  const at = list.indexOf(name);
  if (at >= 0) list.splice(at, 1);
}
