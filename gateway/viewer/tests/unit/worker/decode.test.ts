import { describe, expect, it } from 'vitest';
import { ViewerError } from '../../../src/core/errors';
import { decodePoints } from '../../../src/worker/decode';
import { boxesOf, spacingOf } from '../../../src/worker/measure';
import { srgbFromLinear16 } from '../../../src/worker/srgb';

type Json = Record<string, unknown>;

/** Two points without compression: grid positions, linear colours, confidences. */
function twoPoints(change: (json: Json) => void = () => undefined): ArrayBuffer {
  const data = new ArrayBuffer(16 + 16 + 8);
  new Uint16Array(data, 0, 8).set([1, 2, 3, 0, 65535, 5, 6, 0]);
  new Uint16Array(data, 16, 8).set([65535, 0, 0, 65535, 13933, 13933, 13933, 65535]);
  new Uint8Array(data, 32, 8).set([7, 0, 0, 0, 200, 0, 0, 0]);
  const json: Json = {
    asset: { version: '2.0' },
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0, translation: [10, 20, 30], scale: [2, 2, 2] }],
    meshes: [
      { primitives: [{ mode: 0, attributes: { POSITION: 0, COLOR_0: 1, _CONFIDENCE: 2 } }] },
    ],
    accessors: [
      { bufferView: 0, componentType: 5123, count: 2, type: 'VEC3' },
      { bufferView: 1, componentType: 5123, count: 2, type: 'VEC4', normalized: true },
      { bufferView: 2, componentType: 5121, count: 2, type: 'SCALAR', normalized: true },
    ],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: 16, byteStride: 8 },
      { buffer: 0, byteOffset: 16, byteLength: 16, byteStride: 8 },
      { buffer: 0, byteOffset: 32, byteLength: 8, byteStride: 4 },
    ],
    buffers: [{ byteLength: 40 }],
  };
  change(json);
  return glb(json, new Uint8Array(data));
}

function glb(json: Json, data: Uint8Array): ArrayBuffer {
  let text = JSON.stringify(json);
  text += ' '.repeat((4 - (text.length % 4)) % 4);
  const out = new ArrayBuffer(28 + text.length + data.length);
  const view = new DataView(out);
  const words = [0x46546c67, 2, out.byteLength, text.length, 0x4e4f534a];
  for (const [i, word] of words.entries()) view.setUint32(i * 4, word, true);
  new Uint8Array(out, 20).set(new TextEncoder().encode(text));
  view.setUint32(20 + text.length, data.length, true);
  view.setUint32(24 + text.length, 0x004e4942, true);
  new Uint8Array(out, 28 + text.length).set(data);
  return out;
}

async function failure(buffer: ArrayBuffer): Promise<ViewerError> {
  try {
    await decodePoints(buffer);
  } catch (thrown) {
    if (thrown instanceof ViewerError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

const at = (json: Json, key: string, index: number): Json => (json[key] as Json[])[index]!;

describe('decodePoints', () => {
  it('keeps grid positions, turns linear colours into sRGB and packs the confidence', async () => {
    const points = await decodePoints(twoPoints());
    expect([...points.positions]).toEqual([1, 2, 3, 7, 65535, 5, 6, 200]);
    expect([...points.colors]).toEqual([255, 0, 0, 255, 127, 127, 127, 255]);
    expect(points.matrix).toEqual([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 10, 20, 30, 1]);
    expect(points.hasConfidence).toBe(true);
    expect(points.box.low).toEqual([12, 24, 36]);
  });

  it('says when a file has no confidence, and shows all its points', async () => {
    const points = await decodePoints(
      twoPoints((json) => {
        const mesh = at(json, 'meshes', 0);
        mesh.primitives = [{ mode: 0, attributes: { POSITION: 0 } }];
      }),
    );
    expect(points.hasConfidence).toBe(false);
    expect(points.positions[3]).toBe(255);
    expect(points.colors[0]).toBe(200);
  });

  it.each<[string, (json: Json) => void, string, string]>([
    ['a view beyond the file', (j) => { at(j, 'bufferViews', 1).byteLength = 999; }, 'BAD_CONTENT', 'ends at byte 1015'],
    ['more rows than bytes', (j) => { for (const i of [0, 1, 2]) at(j, 'accessors', i).count = 3; }, 'BAD_CONTENT', 'ends at byte'],
    ['unequal counts', (j) => { at(j, 'accessors', 1).count = 1; }, 'BAD_CONTENT', 'COLOR_0 has 1 rows'],
    ['a negative count', (j) => { at(j, 'accessors', 0).count = -1; }, 'BAD_CONTENT', 'accessors[0].count is -1'],
    ['an absent accessor', (j) => { j.accessors = []; }, 'BAD_CONTENT', 'attributes.POSITION is 0'],
    ['triangles', (j) => { at(j, 'meshes', 0).primitives = [{ attributes: { POSITION: 0 } }]; }, 'UNSUPPORTED', 'more than points'],
    ['unknown extensions', (j) => { j.extensionsRequired = ['KHR_draco_mesh_compression']; }, 'UNSUPPORTED', 'KHR_draco'],
    ['several nodes', (j) => { j.nodes = [{ mesh: 0 }, {}]; }, 'UNSUPPORTED', 'several nodes'],
    ['a meshopt view that does not decode', (j) => {
      at(j, 'bufferViews', 0).extensions = { KHR_meshopt_compression: { buffer: 0, byteLength: 16, byteStride: 8, count: 2, mode: 'ATTRIBUTES' } };
    }, 'BAD_CONTENT', 'meshopt'],
  ])('refuses %s', async (_, change, reason, words) => {
    const error = await failure(twoPoints(change));
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(words);
  }); // prettier-ignore

  it('refuses files cut at any byte', async () => {
    const whole = twoPoints();
    for (let length = 0; length < whole.byteLength; length += 13)
      expect((await failure(whole.slice(0, length))).reason).toBe('BAD_CONTENT');
  });
});

describe('measures', () => {
  it('finds the spacing of a square lattice and of random points of its density', () => {
    const lattice = new Uint16Array(100 * 100 * 4);
    const random = new Uint16Array(100 * 100 * 4);
    let state = 1;
    const next = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
    for (let i = 0; i < 10_000; i++) {
      lattice.set([(i % 100) * 50, Math.floor(i / 100) * 50, 0, 0], i * 4);
      random.set([next() * 5000, next() * 5000, 0, 0], i * 4);
    }
    expect(spacingOf(lattice, 10_000)).toBeCloseTo(50, -1);
    expect(spacingOf(random, 10_000) / 50).toBeGreaterThan(0.8);
    expect(spacingOf(random, 10_000) / 50).toBeLessThan(1.25);
  });

  it('leaves far points out of the bulk', () => {
    const positions = new Uint16Array(1000 * 4);
    for (let i = 0; i < 1000; i++) positions.set([1000 + i, 1000 + i, 1000 + i, 0], i * 4);
    positions.set([65535, 0, 65535, 0], 0);
    const { box, bulk } = boxesOf(
      positions,
      1000,
      [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
    );
    expect(box.high[0]).toBe(65535);
    expect(bulk.high[0]).toBeLessThan(2100);
    expect(bulk.low[1]).toBeGreaterThan(900);
  });

  it('turns linear values into sRGB bytes as the standard says', () => {
    const table = srgbFromLinear16();
    expect([table[0], table[65535], table[Math.round(0.5 * 65535)]]).toEqual([0, 255, 188]);
  });
});
