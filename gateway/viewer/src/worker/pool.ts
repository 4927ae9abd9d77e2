/**
 * A few decoding workers, started when there is work for them.
 *
 * Their program is part of the bundle and started from a blob: so it runs wherever the bundle does,
 * also from another origin. Where a page's policy forbids that, decoding runs on the page's thread.
 */
import { ViewerError } from '../core/errors';
import DecodeWorker from './decode_worker?worker&inline';
import type { DecodedPoints } from './points';
import type { DecodeReply, DecodeRequest } from './protocol';

interface Waiting {
  readonly resolve: (points: DecodedPoints) => void;
  readonly reject: (error: unknown) => void;
}

interface Member {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
}

/** Thrown for a sound GLB that needs a general reader, which gets the file from here. */
export class NeedsGeneralReader extends ViewerError {
  constructor(
    message: string,
    readonly buffer: ArrayBuffer,
  ) {
    super('UNSUPPORTED', message);
  }
}

export class DecodePool {
  private readonly members: Member[] = [];
  private lastId = 0;
  private isWorkerless = false;

  constructor(private readonly size = defaultSize()) {}

  /** Start the first worker, so that it is warm when the first file is here. */
  warm(): void {
    if (this.members.length === 0) this.grow();
  }

  /** Decode a GLB; the buffer is gone afterwards. */
  async decode(buffer: ArrayBuffer): Promise<DecodedPoints> {
    const member = this.freest();
    if (member === undefined) return (await import('./decode')).decodePoints(buffer);
    return new Promise((resolve, reject) => {
      const request: DecodeRequest = { id: ++this.lastId, buffer };
      member.waiting.set(request.id, { resolve, reject });
      member.worker.postMessage(request, [buffer]);
    });
  }

  dispose(): void {
    for (const { worker } of this.members) worker.terminate();
    this.members.length = 0;
  }

  private freest(): Member | undefined {
    let best: Member | undefined;
    for (const member of this.members)
      if (best === undefined || member.waiting.size < best.waiting.size) best = member;
    if (best !== undefined && (best.waiting.size === 0 || this.members.length >= this.size))
      return best;
    return this.grow() ?? best;
  }

  private grow(): Member | undefined {
    if (this.isWorkerless) return undefined;
    let worker: Worker;
    try {
      worker = new DecodeWorker();
    } catch {
      this.isWorkerless = true;
      return undefined;
    }
    const member: Member = { worker, waiting: new Map() };
    worker.onmessage = ({ data }: MessageEvent<DecodeReply>) => {
      const waiting = member.waiting.get(data.id);
      member.waiting.delete(data.id);
      if ('points' in data) waiting?.resolve(data.points);
      else if (data.buffer !== undefined)
        waiting?.reject(new NeedsGeneralReader(data.failure.message, data.buffer));
      else waiting?.reject(new ViewerError(data.failure.reason, data.failure.message));
    };
    worker.onerror = (event) => {
      this.members.splice(this.members.indexOf(member), 1);
      this.isWorkerless = this.members.length === 0;
      const error = new ViewerError(
        'BAD_CONTENT',
        `a decoding worker failed: ${event.message}`,
        true,
      );
      for (const { reject } of member.waiting.values()) reject(error);
    };
    this.members.push(member);
    return member;
  }
}

function defaultSize(): number {
  return Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1));
}
