/** The ZIP of photos is one that readers read, byte for byte the same each time. */
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { crc32, zipOf } from '../../../src/app/upload/zip';

const never = new AbortController().signal;
const photo = (name: string, content: string): File =>
  new File([content], name, { lastModified: Date.now() });
const pack = (files: File[]): Promise<File> => zipOf(files, 'photos.zip', () => undefined, never);
const bytesOf = async (file: File): Promise<Uint8Array> => new Uint8Array(await file.arrayBuffer());

describe('zipOf', () => {
  it('holds every photo as it was', async () => {
    const zip = unzipSync(
      await bytesOf(
        await pack([photo('a.jpg', 'first'), photo('ü.png', 'second'), photo('c.jpg', '')]),
      ),
    );
    const texts = Object.entries(zip).map(([name, data]) => [name, new TextDecoder().decode(data)]);
    expect(texts).toEqual([['a.jpg', 'first'], ['ü.png', 'second'], ['c.jpg', '']]); // prettier-ignore
  });

  it('is the same each time, so that an upload can go on after a reload', async () => {
    const make = async (): Promise<Uint8Array> =>
      bytesOf(await pack([photo('a.jpg', '1'), photo('b.jpg', '2')]));
    expect(await make()).toEqual(await make());
  });

  it('numbers names that repeat', async () => {
    const zip = unzipSync(
      await bytesOf(await pack([photo('a.jpg', '1'), photo('A.jpg', '2'), photo('a.jpg', '3')])),
    );
    expect(Object.keys(zip)).toEqual(['a.jpg', 'A (2).jpg', 'a (3).jpg']);
  });

  it('tells how far it has read', async () => {
    const told: number[] = [];
    await zipOf(
      [photo('a', '12345'), photo('b', '123')],
      'x.zip',
      (bytes) => told.push(bytes),
      never,
    );
    expect(told.at(-1)).toBe(8);
  });

  it('stops when it is no longer wanted', async () => {
    const stop = AbortSignal.abort(new Error('removed'));
    await expect(zipOf([photo('a', '1')], 'x.zip', () => undefined, stop)).rejects.toThrow(
      'removed',
    );
  });

  it('computes the checksum of the standard', async () => {
    expect(await crc32(new Blob(['123456789']), never)).toBe(0xcbf4_3926);
  });
});
