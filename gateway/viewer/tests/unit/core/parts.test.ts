import { describe, expect, it } from 'vitest';
import { parseCameras } from '../../../src/core/cameras';
import { CONFIDENCE_COLORS, confidenceTable } from '../../../src/core/confidence';
import { FrustaShape } from '../../../src/core/frusta';
import { MaxHeap } from '../../../src/core/heap';
import { initialPose, poseFromCamera } from '../../../src/core/initial_view';
import { ByteLru } from '../../../src/core/lru';
import { boxAround, distanceToBox, IDENTITY } from '../../../src/core/math';
import { SpacingVolume } from '../../../src/core/spacing_volume';
import { cube } from './trees';

const frame = {
  file_path: 'images/frame_00001.png',
  transform_matrix: [[1, 0, 0, 2], [0, -1, 0, 3], [0, 0, -1, 4], [0, 0, 0, 1]],
}; // prettier-ignore
const transforms = (more: object = {}): string =>
  JSON.stringify({ w: 640, h: 480, fl_x: 320, fl_y: 480, frames: [frame], ...more });

describe('MaxHeap', () => {
  it('gives items in falling order of priority', () => {
    const heap = new MaxHeap<{ priority: number }>();
    const wanted = Array.from({ length: 200 }, (_, i) => (i * 7919) % 211);
    for (const priority of wanted) heap.push({ priority });
    const got = wanted.map(() => heap.pop()?.priority);
    expect(got).toEqual([...wanted].sort((a, b) => b - a));
    expect(heap.pop()).toBeUndefined();
  });
});

describe('ByteLru', () => {
  it('evicts the longest unused first and keeps what it is told to keep', () => {
    const lru = new ByteLru<string>();
    for (const key of ['a', 'b', 'c', 'd']) lru.add(key, 10);
    lru.touch('a');
    expect(lru.evict(20, (key) => key === 'b')).toEqual(['c', 'd']);
    expect(lru.bytes).toBe(20);
  });

  it('counts a key that is put in again once', () => {
    const lru = new ByteLru<string>();
    lru.add('a', 10);
    lru.add('a', 30);
    expect(lru.bytes).toBe(30);
    expect(lru.evict(0, () => false)).toEqual(['a']);
    expect(lru.bytes).toBe(0);
  });
});

describe('boxes', () => {
  it('bounds a turned box', () => {
    const s = Math.SQRT1_2;
    const turned = [s, s, 0, 0, -s, s, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const box = boxAround(turned, [0, 0, 0], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]); // prettier-ignore
    expect(box.high[0]).toBeCloseTo(Math.SQRT2);
    expect(box.high[2]).toBeCloseTo(1);
  });

  it('measures the distance to the nearest side, and 0 inside', () => {
    expect(distanceToBox(cube(0, 1), [4, 5, 0.5])).toBe(5);
    expect(distanceToBox(cube(0, 1), [0.5, 0.5, 0.5])).toBe(0);
  });
});

describe('SpacingVolume', () => {
  it('tells the finest drawn spacing at every place, within a step of 2^(1/16)', () => {
    const volume = new SpacingVolume(cube(0, 8));
    volume.fill([
      { box: cube(0, 4), drawnSpacing: 0.13 },
      { box: cube(0, 8), drawnSpacing: 1 },
      { box: cube(0, 1), drawnSpacing: 0.01 },
    ]);
    const within = (value: number, wanted: number): void => {
      expect(Math.abs(Math.log2(value / wanted))).toBeLessThan(1 / 16);
    };
    within(volume.at([7, 7, 7]), 1);
    within(volume.at([3, 3, 3]), 0.13);
    within(volume.at([0.5, 0.5, 0.5]), 0.01);
    within(volume.at([99, -5, 7]), 1);
  });

  it('keeps a tile that is smaller than a voxel', () => {
    const volume = new SpacingVolume(cube(0, 64));
    volume.fill([{ box: cube(0, 64), drawnSpacing: 1 }, { box: cube(10.1, 0.2), drawnSpacing: 0.1 }]); // prettier-ignore
    expect(volume.at([10.2, 0.1, 0.1])).toBeLessThan(0.2);
    expect(volume.at([20, 0.1, 0.1])).toBe(1);
  });
});

describe('parseCameras', () => {
  it('turns the world, which is y down, into the y-up scene', () => {
    const [camera] = parseCameras(transforms());
    expect(camera?.name).toBe('frame_00001.png');
    expect(camera?.halfWidth).toBe(1);
    expect(camera?.halfHeight).toBe(0.5);
    expect(camera?.matrix.slice(12, 15)).toEqual([2, -3, -4]);
    // An upright camera of the world is an upright one of the scene: y up, looking along −z.
    const axes = camera?.matrix.slice(0, 12).map((value) => value + 0);
    expect(axes).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]);
  });

  it.each([
    ['[', 'is not JSON'],
    ['null', 'has no list of frames'],
    ['{}', 'has no list of frames'],
    [transforms({ fl_x: 0 }), 'frames[0].fl_x is 0'],
    [transforms({ frames: [{ transform_matrix: [[1]] }] }), 'frames[0].transform_matrix'],
    [transforms({ frames: [null] }), 'frames[0].transform_matrix'],
  ])('refuses %s', (text, words) => {
    expect(() => parseCameras(text)).toThrow(words);
  });
});

describe('initialPose', () => {
  const bulk = { low: [-1, -1, -11], high: [1, 1, -9] } as const;
  const camera = { name: 'c', matrix: IDENTITY, halfWidth: 1, halfHeight: 0.5 };

  it('stands where the middle camera stood, its picture just in view', () => {
    const { eye, target } = initialPose(bulk, [camera], Math.PI / 2, 1);
    expect(Math.hypot(...eye)).toBeCloseTo(0);
    expect(target[2]).toBeCloseTo(-10);
    // A narrow view steps back.
    expect(initialPose(bulk, [camera], Math.PI / 2, 0.8).eye[2]).toBeCloseTo(2.5);
  });

  it('shows the bulk from the front without cameras, nearer for a wide view than a narrow one', () => {
    const wide = initialPose(bulk, [], 1, 2);
    const narrow = initialPose(bulk, [], 1, 0.5);
    expect(wide.target).toEqual([0, 0, -10]);
    expect(wide.eye[2]).toBeGreaterThan(-9);
    expect(narrow.eye[2]).toBeGreaterThan(wide.eye[2]);
  });

  it('never looks at a target behind the camera', () => {
    const behind = { low: [-1, -1, 9], high: [1, 1, 11] } as const;
    expect(poseFromCamera(camera, behind).target[2]).toBeLessThan(0);
  });
});

describe('FrustaShape', () => {
  const camera = { name: 'c', matrix: IDENTITY, halfWidth: 1, halfHeight: 1 };
  const right = [...IDENTITY];
  right[12] = 5;
  const shape = new FrustaShape([camera, { ...camera, matrix: right }], 0.5);
  // An orthographic view from +z of x and y from −10 to 10.
  const view = [0.1, 0, 0, 0, 0, 0.1, 0, 0, 0, 0, 0.01, 0, 0, 0, 0, 1];

  it('draws every camera with the same lines', () => {
    expect(shape.positions.length / 3).toBe(shape.indices.length);
    expect(new Set(shape.indices)).toEqual(new Set([0, 1]));
    expect(shape.indices.length % 4).toBe(0);
  });

  it('finds the camera under a place, and none beside them', () => {
    expect(shape.pick(0.02, 0.02, view, [0, 0, 9])).toBe(0);
    expect(shape.pick(0.52, 0, view, [0, 0, 9])).toBe(1);
    expect(shape.pick(0.25, 0, view, [0, 0, 9])).toBe(-1);
  });
});

describe('confidenceTable', () => {
  it('runs from the first to the last colour and grows lighter all the way', () => {
    const table = confidenceTable(256);
    const hex = (i: number): string => '#' + [0, 1, 2].map((c) => table[i * 4 + c]!.toString(16).padStart(2, '0')).join(''); // prettier-ignore
    expect(hex(0)).toBe(CONFIDENCE_COLORS[0]);
    expect(hex(255)).toBe(CONFIDENCE_COLORS.at(-1));
    const light = Array.from({ length: 256 }, (_, i) => 0.2126 * table[i * 4]! + 0.7152 * table[i * 4 + 1]! + 0.0722 * table[i * 4 + 2]!); // prettier-ignore
    expect(light.every((value, i) => i === 0 || value >= light[i - 1]! - 0.5)).toBe(true);
  });
});
