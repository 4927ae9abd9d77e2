/** A box as lines over a picture: what is before it, what is behind, and its outline. */
import { type Axis, middleOf, type Side, SIDES } from './region';
import type { Box, Mat4, Vec3 } from './math';

export type Place = readonly [number, number];

export interface BoxDrawing {
  /** Lines that face the eye, and those that the box itself would hide. */
  readonly front: readonly (readonly [Place, Place])[];
  readonly back: readonly (readonly [Place, Place])[];
  /** Convex, around everything; empty where nothing is before the eye. */
  readonly outline: readonly Place[];
  /** Of the sides in the order of SIDES: their middles, undefined behind the eye. */
  readonly middles: readonly (Place | undefined)[];
  /** Whether each side faces the eye. */
  readonly facing: readonly boolean[];
}

type Clip = readonly [number, number, number];

/** Nothing nearer than this share of the distance to the box's middle is drawn. */
const NEAREST = 1e-3;

/**
 * Draw a box.
 *
 * @param viewProjection from the scene to clip space
 * @param width, height of the picture, in the unit that places are wanted in
 */
export function drawBox(
  box: Box,
  viewProjection: Mat4,
  eye: Vec3,
  width: number,
  height: number,
): BoxDrawing {
  const clip = (point: Vec3): Clip => {
    const [x, y, z] = point;
    const row = (r: number): number =>
      viewProjection[r]! * x + viewProjection[4 + r]! * y + viewProjection[8 + r]! * z + viewProjection[12 + r]!; // prettier-ignore
    return [row(0), row(1), row(3)];
  };
  const corner = (index: number): Vec3 => {
    const at = (axis: Axis): number => ((index >> axis) & 1 ? box.high : box.low)[axis];
    return [at(0), at(1), at(2)];
  };
  const corners = Array.from({ length: 8 }, (_, index) => clip(corner(index)));
  const least = Math.max(...corners.map(([, , w]) => w)) * NEAREST;
  const place = ([x, y, w]: Clip): Place => [(x / w / 2 + 0.5) * width, (0.5 - y / w / 2) * height];
  const facing = SIDES.map(({ axis, sign }) =>
    sign > 0 ? eye[axis] > box.high[axis] : eye[axis] < box.low[axis],
  );
  const isInside = !facing.includes(true);
  const faces = (axis: Axis, isHigh: boolean): boolean => facing[axis * 2 + Number(isHigh)]!;
  const front: (readonly [Place, Place])[] = [];
  const back: (readonly [Place, Place])[] = [];
  for (const axis of [0, 1, 2] as const)
    for (let from = 0; from < 8; from++) {
      if ((from >> axis) & 1) continue;
      const ends = clipped(corners[from]!, corners[from | (1 << axis)]!, least);
      if (ends === undefined) continue;
      const beside = ([0, 1, 2] as const).filter((other) => other !== axis);
      const isFront = isInside || beside.some((other) => faces(other, ((from >> other) & 1) === 1));
      (isFront ? front : back).push([place(ends[0]), place(ends[1])]);
    }
  const middles = SIDES.map((side: Side) => {
    const at = clip(middleOf(box, side));
    return at[2] > least ? place(at) : undefined;
  });
  return { front, back, outline: hullOf([...front, ...back].flat()), middles, facing };
}

/** Cut a line where it comes too near to the eye. */
function clipped(a: Clip, b: Clip, least: number): readonly [Clip, Clip] | undefined {
  if (a[2] <= least && b[2] <= least) return undefined;
  const cut = (out: Clip, kept: Clip): Clip => {
    const t = (least - out[2]) / (kept[2] - out[2]);
    const at = (i: Axis): number => out[i] + (kept[i] - out[i]) * t;
    return [at(0), at(1), least];
  };
  return [a[2] <= least ? cut(a, b) : a, b[2] <= least ? cut(b, a) : b];
}

/** Source: Andrew, Another efficient algorithm for convex hulls in two dimensions, 1979. */
function hullOf(places: readonly Place[]): Place[] {
  const sorted = [...places].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (points: readonly Place[]): Place[] => {
    const chain: Place[] = [];
    for (const point of points) {
      while (chain.length > 1 && turn(chain.at(-2)!, chain.at(-1)!, point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

function turn(a: Place, b: Place, c: Place): number {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}
