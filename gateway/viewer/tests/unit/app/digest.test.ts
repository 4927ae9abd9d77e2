/** Hashes of streams are those of the whole, whatever the pieces. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashStream } from '../../../src/app/upload/digest_stream';

const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3);

describe('hashStream', () => {
  it.each([[300_000], [65_536], [1000], [63], [64], [65]])(
    'in pieces of %d bytes',
    async (size) => {
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (let at = 0; at < bytes.length; at += size)
            controller.enqueue(bytes.slice(at, at + size));
          controller.close();
        },
      });
      const told: number[] = [];
      const found = await hashStream(stream, (done) => told.push(done));
      expect(found).toBe(createHash('sha256').update(bytes).digest('hex'));
      expect(told.at(-1)).toBe(bytes.length);
      expect(told).toHaveLength(Math.ceil(bytes.length / size));
    },
  );

  it('of nothing is that of nothing', async () => {
    const empty = new Blob([]).stream();
    expect(await hashStream(empty, () => undefined)).toBe(createHash('sha256').digest('hex'));
  });

  it('rejects where the stream breaks', async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull() {
        throw new Error('the disk is gone');
      },
    });
    await expect(hashStream(broken, () => undefined)).rejects.toThrow('the disk is gone');
  });
});
