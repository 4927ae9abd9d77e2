/** The sha256 of a stream of bytes, of which no more than a piece is in memory. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

/** Return the hash in hexadecimal digits; `onDone` is told the bytes after each piece. */
export async function hashStream(
  stream: ReadableStream<Uint8Array>,
  onDone: (bytes: number) => void,
): Promise<string> {
  const hash = sha256.create();
  const reader = stream.getReader();
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytesToHex(hash.digest());
    hash.update(value);
    bytes += value.length;
    onDone(bytes);
  }
}
