/** The sha256 of a file that is small enough to be read at once. */

/**
 * WebCrypto hashes no stream, and a hash of our own would hold a phone back for longer than it
 * protects: larger files go without one, the server's count of bytes and its own seal hold them.
 */
const MAX_BYTES = 64 * 1024 * 1024;

/** Return the hash in hexadecimal digits, or undefined where the page cannot or need not have it. */
export async function digestOf(file: File): Promise<string | undefined> {
  // Outside secure contexts (plain HTTP, not on this machine) there is no subtle.
  const subtle = (globalThis.crypto as Partial<Crypto>).subtle;
  if (file.size > MAX_BYTES || !subtle) return undefined;
  const hash = await subtle.digest('SHA-256', await file.arrayBuffer());
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
