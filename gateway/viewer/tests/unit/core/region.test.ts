import { describe, expect, it } from 'vitest';
import { drawBox } from '../../../src/core/box_drawing';
import type { Mat4, Vec3 } from '../../../src/core/math';
import {
  along,
  bearings,
  boxFromRegion,
  cubeAround,
  isRegion,
  middleOf,
  moved,
  nearestAlong,
  onPlane,
  regionFromBox,
  SIDES,
  sized,
} from '../../../src/core/region';

const BOX = { low: [-1, 2, -5], high: [1, 3, -4] } as const;
/** A camera at the origin that looks along −z. */
const AHEAD: Mat4 = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
/** Clip space of a lens of 90°, near and far do not matter here. */
const LENS: Mat4 = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0];
const EYE: Vec3 = [0, 0, 0];

describe('regions', () => {
  it('are in the scene folder’s axes: y down, z forward', () => {
    expect(regionFromBox(BOX)).toEqual({ min: [-1, -3, 4], max: [1, -2, 5] });
  });

  it('come back as the box they were', () => {
    expect(boxFromRegion(regionFromBox(BOX))).toEqual(BOX);
  });

  it.each([
    [{ min: [0, 0, 0], max: [1, 1, 1] }, true],
    [{ min: [0, 0, 0], max: [1, 0, 1] }, false],
    [{ min: [0, 0, 2], max: [1, 1, 1] }, false],
    [{ min: [0, 0, Number.NaN], max: [1, 1, 1] }, false],
    [{ min: [0, 0, 0], max: [1, Infinity, 1] }, false],
  ] as const)('%j is one: %s', (value, wanted) => {
    expect(isRegion(value)).toBe(wanted);
  });
});

describe('moving and sizing', () => {
  it('moves both corners', () => {
    expect(moved(cubeAround([0, 0, 0], 1), along({ axis: 1, sign: -1 }, 2))).toEqual({
      low: [-1, -3, -1],
      high: [1, -1, 1],
    });
  });

  it.each(SIDES)('moves the side %j outwards and leaves the others', (side) => {
    const box = cubeAround([0, 0, 0], 1);
    const larger = sized(box, side, 0.5, 0.1);
    expect(middleOf(larger, side)[side.axis]).toBe(1.5 * side.sign);
    const opposite = { axis: side.axis, sign: -side.sign as 1 | -1 };
    expect(middleOf(larger, opposite)[side.axis]).toBe(middleOf(box, opposite)[side.axis]);
  });

  it('never turns a box inside out', () => {
    const box = cubeAround([0, 0, 0], 1);
    const thin = sized(box, { axis: 2, sign: 1 }, -9, 0.25);
    expect([thin.low[2], thin.high[2]]).toEqual([-1, -0.75]);
  });
});

describe('bearings', () => {
  it('takes the axes as a camera sees them', () => {
    expect(bearings(AHEAD)).toEqual({
      right: { axis: 0, sign: 1 },
      up: { axis: 1, sign: 1 },
      away: { axis: 2, sign: -1 },
    });
  });

  it('names three different axes even for a camera that looks straight down', () => {
    const down: Mat4 = [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    const { right, up, away } = bearings(down);
    expect(away).toEqual({ axis: 1, sign: -1 });
    expect(new Set([right.axis, up.axis, away.axis]).size).toBe(3);
    expect(up).toEqual({ axis: 2, sign: -1 });
  });
});

describe('rays', () => {
  it('come nearest to a line where they cross it', () => {
    const ray = { origin: EYE, direction: [0.5, 0, -1] } as const;
    expect(nearestAlong([0, 0, -4], { axis: 0, sign: 1 }, ray)).toBeCloseTo(2);
    expect(nearestAlong([0, 0, -4], { axis: 0, sign: -1 }, ray)).toBeCloseTo(-2);
  });

  it('have no nearest place on a line that they run along', () => {
    const ray = { origin: EYE, direction: [0, 0, -1] } as const;
    expect(nearestAlong([0, 0.1, -4], { axis: 2, sign: 1 }, ray)).toBeUndefined();
  });

  it('meet a plane before the eye alone', () => {
    const ray = { origin: EYE, direction: [0.5, 0.25, -1] } as const;
    expect(onPlane([0, 0, -4], [0, 0, 1], ray)).toEqual([2, 1, -4]);
    expect(onPlane([0, 0, 4], [0, 0, 1], ray)).toBeUndefined();
  });
});

describe('drawBox', () => {
  it('shows the near side large, and the hidden edges apart', () => {
    const { front, back, outline, middles, facing } = drawBox(cubeAround([0, 0, -3], 1), LENS, EYE, 100, 100); // prettier-ignore
    expect(front).toHaveLength(4);
    expect(back).toHaveLength(8);
    expect(outline.map(([x, y]) => [x, y])).toEqual(
      expect.arrayContaining([[25, 25], [75, 25], [75, 75], [25, 75]]),
    ); // prettier-ignore
    expect(outline).toHaveLength(4);
    expect(facing.filter(Boolean)).toHaveLength(1);
    expect(middles[SIDES.findIndex(({ axis, sign }) => axis === 2 && sign === 1)]).toEqual([
      50, 50,
    ]);
  });

  it('cuts what lies behind the eye and draws nothing that is not finite', () => {
    const { front, back, outline } = drawBox(cubeAround([0.2, 0.1, 0], 2), LENS, EYE, 100, 100);
    const numbers = [...front, ...back].flat(2).concat(outline.flat());
    expect(numbers.length).toBeGreaterThan(0);
    expect(numbers.every(Number.isFinite)).toBe(true);
  });

  it('draws nothing of a box behind the eye', () => {
    const { front, back, outline } = drawBox(cubeAround([0, 0, 5], 1), LENS, EYE, 100, 100);
    expect([...front, ...back, ...outline]).toEqual([]);
  });
});
