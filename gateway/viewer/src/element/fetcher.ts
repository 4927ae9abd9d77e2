/** Fetches files, counts what came over the network, and turns failures into ViewerErrors. */
import { isAbort, ViewerError } from '../core/errors';

const RETRIABLE = new Set([408, 425, 429, 500, 502, 503, 504]);

export class Fetcher {
  bytes = 0;
  /** Bytes counted of files whose size on the wire is not known yet. */
  private readonly counted = new Map<string, number>();
  private readonly observer: PerformanceObserver | undefined;

  constructor() {
    if (typeof PerformanceObserver === 'undefined') return;
    this.observer = new PerformanceObserver((entries) => { this.correct(entries); }); // prettier-ignore
    this.observer.observe({ type: 'resource' });
  }

  async text(url: string, limit: number, signal: AbortSignal): Promise<string> {
    return new TextDecoder().decode(await this.buffer(url, limit, signal));
  }

  /** Fetch a file of at most `limit` bytes. */
  async buffer(url: string, limit: number, signal: AbortSignal): Promise<ArrayBuffer> {
    let buffer: ArrayBuffer;
    try {
      const response = await fetch(url, { signal });
      if (!response.ok)
        throw new ViewerError(
          'HTTP_STATUS',
          `${url} answered ${response.status}; 200 was expected`,
          RETRIABLE.has(response.status),
        );
      const length = Number(response.headers.get('content-length') ?? 0);
      if (length > limit)
        throw new ViewerError('LIMIT', `${url} has ${length} bytes; at most ${limit} are read`);
      buffer = await response.arrayBuffer();
    } catch (thrown) {
      if (thrown instanceof ViewerError || isAbort(thrown)) throw thrown;
      throw new ViewerError('NETWORK', `${url} could not be fetched`, true);
    }
    if (buffer.byteLength > limit)
      throw new ViewerError('LIMIT', `${url} is larger than ${limit} bytes`);
    this.counted.set(url, buffer.byteLength);
    this.bytes += buffer.byteLength;
    return buffer;
  }

  dispose(): void {
    this.observer?.disconnect();
  }

  /** Put sizes on the wire in the place of decoded ones; they come a little later. */
  private correct(entries: PerformanceObserverEntryList): void {
    for (const entry of entries.getEntries() as PerformanceResourceTiming[]) {
      const counted = this.counted.get(entry.name);
      if (counted === undefined) continue;
      this.counted.delete(entry.name);
      // 0: from the cache of another origin, or not told.
      if (entry.encodedBodySize > 0) this.bytes += entry.encodedBodySize - counted;
    }
  }
}
