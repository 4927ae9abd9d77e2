import { describe, expect, it } from 'vitest';
import { ViewerError } from '../../../src/core/errors';
import { LIMITS } from '../../../src/core/limits';
import { parseTileset } from '../../../src/core/tileset';

const URL_ = 'http://host/a/tileset.json';
const BOX = [1, 2, 3, 0.5, 0, 0, 0, 0.25, 0, 0, 0, 0.125];
const tile = (more: object = {}): object => ({
  boundingVolume: { box: BOX },
  geometricError: 1,
  ...more,
});
const file = (root: object, more: object = {}): string =>
  JSON.stringify({ asset: { version: '1.1' }, geometricError: 9, root, ...more });
const parse = (text: string, limits = LIMITS) =>
  parseTileset<never>(text, { url: URL_, tilesBefore: 0, limits });

function failure(text: string, limits = LIMITS): ViewerError {
  try {
    parse(text, limits);
  } catch (thrown) {
    if (thrown instanceof ViewerError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

describe('parseTileset', () => {
  it('turns z-up boxes into y-up ones', () => {
    const { root } = parse(file(tile({ refine: 'ADD' })));
    expect(root.box.low).toEqual([0.5, 2.875, -2.25]);
    expect(root.box.high).toEqual([1.5, 3.125, -1.75]);
  });

  it('moves boxes by the tile transform, which is z up', () => {
    const transform = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 10, 1];
    const { root } = parse(file(tile({ refine: 'ADD', transform })));
    expect(root.box.low[1]).toBeCloseTo(12.875);
    expect(root.transform[13]).toBeCloseTo(10);
  });

  it('bounds a sphere by a box', () => {
    const { root } = parse(file({ ...tile(), boundingVolume: { sphere: [0, 0, 5, 2] } }));
    expect(root.box).toEqual({ low: [-2, 3, -2], high: [2, 7, 2] });
  });

  it('resolves contents against the file and tells tilesets from GLBs', () => {
    const children = [
      tile({ content: { uri: 'sub/b.json?v=1' } }),
      tile({ content: { uri: '../c.glb' } }),
    ];
    const { root, tiles } = parse(file(tile({ refine: 'ADD', children })));
    expect(root.children.map((child) => child.url)).toEqual([
      'http://host/a/sub/b.json?v=1',
      'http://host/c.glb',
    ]);
    expect(root.children.map((child) => child.isTileset)).toEqual([true, false]);
    expect(root.children.map((child) => child.replaces)).toEqual([false, false]);
    expect(tiles).toBe(3);
  });

  it.each([
    ['{', 'BAD_TILESET', 'is not JSON'],
    ['[]', 'BAD_TILESET', 'the file is not an object'],
    [file(tile(), { asset: { version: '0.9' } }), 'BAD_TILESET', 'asset.version is "0.9"'],
    [file(tile({ geometricError: -1 })), 'BAD_TILESET', 'root.geometricError is -1'],
    [file(tile({ geometricError: '1' })), 'BAD_TILESET', 'root.geometricError is "1"'],
    [file({ ...tile(), boundingVolume: { box: [1, 2] } }), 'BAD_TILESET', 'not 12 finite numbers'],
    [
      file({ ...tile(), boundingVolume: { region: [] } }),
      'UNSUPPORTED',
      'neither a box nor a sphere',
    ],
    [file(tile({ refine: 'MAYBE' })), 'BAD_TILESET', 'root.refine is "MAYBE"'],
    [
      file(tile({ content: { uri: 'javascript:alert(1)' } })),
      'BAD_TILESET',
      'protocol javascript:',
    ],
    [file(tile({ content: { uri: 7 } })), 'BAD_TILESET', 'root.content.uri is no address'],
    [file(tile({ children: [tile(), 3] })), 'BAD_TILESET', 'root.children[1] is not an object'],
    [file(tile({ implicitTiling: {} })), 'UNSUPPORTED', 'implicit tiling'],
  ])('refuses %s', (text, reason, words) => {
    const error = failure(text);
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(words);
  });

  it('refuses more tiles and more levels than the limits', () => {
    const wide = file(tile({ children: [tile(), tile(), tile()] }));
    expect(failure(wide, { ...LIMITS, tiles: 3 }).reason).toBe('LIMIT');
    const deep = file(tile({ children: [tile({ children: [tile()] })] }));
    expect(failure(deep, { ...LIMITS, depth: 2 }).reason).toBe('LIMIT');
    expect(parse(deep, { ...LIMITS, depth: 3, tiles: 3 }).tiles).toBe(3);
  });
});
