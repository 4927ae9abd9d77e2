/**
 * A store-only ZIP of photos as a Blob that refers to the files: no copy of their bytes is made.
 *
 * Source: PKWARE APPNOTE 6.3.10, §4.3 (local header, central directory, end record).
 */

const LOCAL = 0x0403_4b50;
const CENTRAL = 0x0201_4b50;
const END = 0x0605_4b50;
const UTF8 = 0x0800;
/** 1 January 1980: the same photos give the same bytes, so that an upload can go on after a reload. */
const DOS_DATE = 0x0021;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
  return value >>> 0;
});

interface Entry {
  readonly file: File;
  readonly name: Uint8Array<ArrayBuffer>;
  readonly crc: number;
  readonly offset: number;
}

/**
 * Pack files into a ZIP without compression.
 *
 * Args:
 *   files: in the order they get; names that repeat are numbered.
 *   zipName: name of the result.
 *   onRead: told how many bytes have been read for the checksums so far.
 *   signal: stops the reading.
 *
 * Throws:
 *   RangeError: the ZIP would need the 64-bit extension.
 */
export async function zipOf(
  files: readonly File[],
  zipName: string,
  onRead: (bytesRead: number) => void,
  signal: AbortSignal,
): Promise<File> {
  const entries: Entry[] = [];
  const parts: BlobPart[] = [];
  const names = uniqueNames(files.map((file) => file.name));
  let offset = 0;
  let read = 0;
  for (const [index, file] of files.entries()) {
    const crc = await crc32(file, signal, (size) => {
      read += size;
      onRead(read);
    });
    const entry = { file, name: new TextEncoder().encode(names[index]), crc, offset };
    const header = record(LOCAL, entry, 30, 4);
    entries.push(entry);
    parts.push(header, file);
    offset += header.byteLength + file.size;
  }
  const directory = entries.map((entry) => centralRecord(entry));
  const size = directory.reduce((sum, each) => sum + each.byteLength, 0);
  if (offset + size > 0xffff_fffe || entries.length > 0xfffe) {
    throw new RangeError(`${zipName} would have ${offset + size} bytes; a plain ZIP ends at 4 GiB`);
  }
  return new File([...parts, ...directory, endRecord(entries.length, size, offset)], zipName, {
    type: 'application/zip',
    lastModified: 0,
  });
}

/** The checksum of a ZIP entry (CRC-32, IEEE 802.3), read as a stream. */
export async function crc32(
  file: Blob,
  signal: AbortSignal,
  onRead: (size: number) => void = () => undefined,
): Promise<number> {
  let crc = 0xffff_ffff;
  const reader = file.stream().getReader();
  for (;;) {
    signal.throwIfAborted();
    const { done, value } = await reader.read();
    if (done) return (crc ^ 0xffff_ffff) >>> 0;
    for (const byte of value) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
    onRead(value.byteLength);
  }
}

/** Fill what local header and central directory have in common, from `version needed` on. */
function record(
  signature: number,
  { name, crc, file }: Entry,
  fixedSize: number,
  at: number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(fixedSize + name.byteLength);
  const view = new DataView(out.buffer);
  view.setUint32(0, signature, true);
  view.setUint16(at, 20, true);
  view.setUint16(at + 2, UTF8, true);
  view.setUint16(at + 4, 0, true); // stored
  view.setUint16(at + 6, 0, true);
  view.setUint16(at + 8, DOS_DATE, true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, file.size, true);
  view.setUint32(at + 18, file.size, true);
  view.setUint16(at + 22, name.byteLength, true);
  out.set(name, fixedSize);
  return out;
}

function centralRecord(entry: Entry): Uint8Array<ArrayBuffer> {
  const out = record(CENTRAL, entry, 46, 6);
  const view = new DataView(out.buffer);
  view.setUint16(4, 20, true);
  view.setUint32(42, entry.offset, true);
  return out;
}

function endRecord(count: number, size: number, offset: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(22);
  const view = new DataView(out.buffer);
  view.setUint32(0, END, true);
  view.setUint16(8, count, true);
  view.setUint16(10, count, true);
  view.setUint32(12, size, true);
  view.setUint32(16, offset, true);
  return out;
}

/** "a.jpg", "a.jpg" → "a.jpg", "a (2).jpg": photos of two folders may share their names. */
function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const dot = name.lastIndexOf('.');
    let unique = name;
    for (let n = 2; taken.has(unique.toLowerCase()); n++) {
      unique = dot > 0 ? `${name.slice(0, dot)} (${n})${name.slice(dot)}` : `${name} (${n})`;
    }
    taken.add(unique.toLowerCase());
    return unique;
  });
}
