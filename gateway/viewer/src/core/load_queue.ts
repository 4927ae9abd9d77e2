/** Runs a bounded number of loads, the most urgent first; drops what nobody wants any more. */
import { isAbort, viewerErrorFrom, type ViewerError } from './errors';

export interface LoadQueueOptions<Key, Value> {
  readonly load: (key: Key, signal: AbortSignal) => Promise<Value>;
  readonly onLoaded: (key: Key, value: Value) => void;
  /** A load failed for good. */
  readonly onFailed: (key: Key, error: ViewerError) => void;
  /** A load was dropped before its end. */
  readonly onDropped: (key: Key) => void;
  readonly onStarted: (key: Key) => void;
  /** A waiting time is over: want() should be called again. */
  readonly onRetry: () => void;
  readonly concurrency: number;
  /** Tries in all. */
  readonly attempts: number;
  /** Waiting time after the first failure; each further one doubles it. */
  readonly backoffMs: number;
  readonly setTimer?: (run: () => void, ms: number) => unknown;
}

/** A load that has been unwanted for so many calls of want() is aborted. */
const PATIENCE = 3;

interface Running {
  readonly abort: AbortController;
  unwantedFor: number;
}

interface Failing {
  attempts: number;
  isWaiting: boolean;
}

export class LoadQueue<Key, Value> {
  private readonly running = new Map<Key, Running>();
  private readonly failing = new Map<Key, Failing>();
  private isClosed = false;
  /** What was wanted last, in order; the next load is taken from it when one ends. */
  private order: readonly Key[] = [];
  /** Of these, what has ended since. */
  private readonly done = new Set<Key>();

  constructor(private readonly options: LoadQueueOptions<Key, Value>) {}

  /** Loads that run or wait for another try. */
  get pending(): number {
    return this.running.size + [...this.failing.values()].filter((f) => f.isWaiting).length;
  }

  /** Say what is wanted now, the most urgent first. */
  want(keys: readonly Key[]): void {
    if (this.isClosed) return;
    const wanted = new Set(keys);
    for (const [key, load] of this.running) {
      load.unwantedFor = wanted.has(key) ? 0 : load.unwantedFor + 1;
      if (load.unwantedFor >= PATIENCE) load.abort.abort();
    }
    this.order = keys;
    this.done.clear();
    this.startNext();
  }

  /** Abort everything; nothing is reported any more. */
  close(): void {
    this.isClosed = true;
    for (const load of this.running.values()) load.abort.abort();
    this.running.clear();
    this.failing.clear();
    this.order = [];
  }

  private startNext(): void {
    for (const key of this.order) {
      if (this.running.size >= this.options.concurrency) return;
      if (this.done.has(key) || this.running.has(key)) continue;
      if (this.failing.get(key)?.isWaiting !== true) void this.run(key);
    }
  }

  private async run(key: Key): Promise<void> {
    const abort = new AbortController();
    this.running.set(key, { abort, unwantedFor: 0 });
    this.options.onStarted(key);
    let report: () => void;
    try {
      const value = await this.options.load(key, abort.signal);
      this.failing.delete(key);
      report = () => { this.options.onLoaded(key, value); }; // prettier-ignore
    } catch (thrown) {
      report = isAbort(thrown)
        ? () => { this.options.onDropped(key); } // prettier-ignore
        : this.failure(key, viewerErrorFrom(thrown));
    }
    if (this.isClosed) return;
    this.running.delete(key);
    this.done.add(key);
    report();
    this.startNext();
  }

  private failure(key: Key, error: ViewerError): () => void {
    const failing = this.failing.get(key) ?? { attempts: 0, isWaiting: false };
    failing.attempts += 1;
    if (!error.retriable || failing.attempts >= this.options.attempts) {
      this.failing.delete(key);
      return () => { this.options.onFailed(key, error); }; // prettier-ignore
    }
    failing.isWaiting = true;
    this.failing.set(key, failing);
    const setTimer = this.options.setTimer ?? setTimeout;
    setTimer(
      () => {
        failing.isWaiting = false;
        if (!this.isClosed) this.options.onRetry();
      },
      this.options.backoffMs * 2 ** (failing.attempts - 1),
    );
    return () => { this.options.onDropped(key); }; // prettier-ignore
  }
}
