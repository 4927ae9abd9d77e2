/** The sha256 of a file: by the browser's own where it can be read at once, else by a worker. */
import type { DigestReply } from './digest_worker';

/** WebCrypto hashes no stream: what it is given stands in memory as a whole. */
const MOST_AT_ONCE_BYTES = 64 * 1024 * 1024;

/**
 * Return the hash in hexadecimal digits, or undefined where the page cannot have it: the server's
 * count of bytes and its own seal hold the file then.
 *
 * @param onDone bytes hashed so far; called for large files alone
 */
export async function digestOf(
  file: File,
  onDone: (bytes: number) => void,
  signal: AbortSignal,
): Promise<string | undefined> {
  // Outside secure contexts (plain HTTP, not on this machine) there is no subtle.
  const subtle = (globalThis.crypto as Partial<Crypto>).subtle;
  if (file.size > MOST_AT_ONCE_BYTES || !subtle) return byWorker(file, onDone, signal);
  const hash = await subtle.digest('SHA-256', await file.arrayBuffer());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Abort rejects with the signal's reason; a worker that fails, or cannot be had, gives undefined. */
function byWorker(
  file: File,
  onDone: (bytes: number) => void,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (typeof Worker === 'undefined') return Promise.resolve(undefined);
  const worker = new Worker(new URL('./digest_worker.ts', import.meta.url), { type: 'module' });
  return new Promise<string | undefined>((resolve, reject) => {
    signal.addEventListener('abort', () => { reject(signal.reason as Error); }, { once: true }); // prettier-ignore
    worker.onerror = () => { resolve(undefined); }; // prettier-ignore
    worker.onmessage = ({ data }: MessageEvent<DigestReply>) => {
      if ('done' in data) onDone(data.done);
      else resolve(data.sha256);
    };
    worker.postMessage(file);
  }).finally(() => { worker.terminate(); }); // prettier-ignore
}
