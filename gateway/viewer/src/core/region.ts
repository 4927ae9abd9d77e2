/** A box that marks a part of space: made, moved and sized, its sides always along the axes. */
import type { Box, Mat4, Vec3 } from './math';

/** Smallest and largest corner in the scene folder's own coordinates (x right, y down, z forward). */
export interface Region {
  readonly min: Vec3;
  readonly max: Vec3;
}

export type Axis = 0 | 1 | 2;
export type Sign = -1 | 1;

/** One side of a box, and at once a direction along an axis. */
export interface Side {
  readonly axis: Axis;
  readonly sign: Sign;
}

export interface Ray {
  readonly origin: Vec3;
  /** Need not be of length 1. */
  readonly direction: Vec3;
}

/** Which sides of a box lie most to the right, up and away, as a camera sees them. */
export interface Bearings {
  readonly right: Side;
  readonly up: Side;
  readonly away: Side;
}

export const SIDES: readonly Side[] = ([0, 1, 2] as const).flatMap((axis) =>
  ([-1, 1] as const).map((sign) => ({ axis, sign })),
);

/** (x, y, z) of the viewer's scene becomes (x, −y, −z), and smallest trades places with largest. */
export function regionFromBox({ low, high }: Box): Region {
  return { min: [low[0], -high[1], -high[2]], max: [high[0], -low[1], -low[2]] };
}

/** The other way round; it is the same turn. */
export function boxFromRegion({ min, max }: Region): Box {
  const { min: low, max: high } = regionFromBox({ low: min, high: max });
  return { low, high };
}

/** Tell whether something is a region: finite, each of `max` above `min`. */
export function isRegion(value: Region): boolean {
  return [0, 1, 2].every((axis) => {
    const [low, high] = [value.min[axis], value.max[axis]];
    return Number.isFinite(low) && Number.isFinite(high) && low! < high!;
  });
}

/** Return a cube around a point. */
export function cubeAround([x, y, z]: Vec3, half: number): Box {
  return { low: [x - half, y - half, z - half], high: [x + half, y + half, z + half] };
}

/** Return the box moved by a vector. */
export function moved({ low, high }: Box, by: Vec3): Box {
  const add = (a: Vec3): Vec3 => [a[0] + by[0], a[1] + by[1], a[2] + by[2]];
  return { low: add(low), high: add(high) };
}

/** Return the vector of a length along a side's direction. */
export function along({ axis, sign }: Side, length: number): Vec3 {
  const out: [number, number, number] = [0, 0, 0];
  out[axis] = sign * length;
  return out;
}

/** Return the box with one side moved outwards; never thinner than `least`. */
export function sized(
  { low, high }: Box,
  { axis, sign }: Side,
  outwards: number,
  least: number,
): Box {
  const from: [number, number, number] = [...low];
  const to: [number, number, number] = [...high];
  if (sign > 0) to[axis] = Math.max(to[axis] + outwards, from[axis] + least);
  else from[axis] = Math.min(from[axis] - outwards, to[axis] - least);
  return { low: from, high: to };
}

/** Return the middle of a side. */
export function middleOf({ low, high }: Box, { axis, sign }: Side): Vec3 {
  const out = [0, 1, 2].map((i) => (low[i]! + high[i]!) / 2);
  out[axis] = (sign > 0 ? high : low)[axis];
  return out as unknown as Vec3;
}

/**
 * Return the sides that a person means by right, up and away: the axis nearest to the view's
 * direction is depth, the nearest of the others to its right is width.
 *
 * @param matrix camera to scene, the camera looking along −z
 */
export function bearings(matrix: Mat4): Bearings {
  const column = (at: number): readonly number[] => [matrix[at]!, matrix[at + 1]!, matrix[at + 2]!];
  const free = new Set<Axis>([0, 1, 2]);
  const nearest = (direction: readonly number[]): Side => {
    const axis = [...free].reduce((a, b) =>
      Math.abs(direction[b]!) > Math.abs(direction[a]!) + 1e-9 ? b : a,
    );
    free.delete(axis);
    return { axis, sign: direction[axis]! < 0 ? -1 : 1 };
  };
  const away = nearest(column(8).map((value) => -value));
  const right = nearest(column(0));
  const up = nearest(column(4));
  return { right, up, away };
}

/**
 * Return how far along a line from a point, in a side's direction, a ray comes nearest to it;
 * undefined where they run alongside.
 */
export function nearestAlong(
  point: Vec3,
  side: Side,
  { origin, direction: d }: Ray,
): number | undefined {
  const a = along(side, 1);
  const w = [point[0] - origin[0], point[1] - origin[1], point[2] - origin[2]] as const;
  const [dd, ad] = [dot(d, d), dot(a, d)];
  const bottom = dd - ad * ad;
  if (bottom < dd * 1e-4) return undefined;
  return (dot(w, d) * ad - dot(w, a) * dd) / bottom;
}

/** Return where a ray meets the plane through a point across a direction; undefined if it does not. */
export function onPlane(point: Vec3, across: Vec3, { origin, direction }: Ray): Vec3 | undefined {
  const slope = dot(direction, across);
  const t = dot([point[0] - origin[0], point[1] - origin[1], point[2] - origin[2]], across) / slope;
  if (!Number.isFinite(t) || t <= 0) return undefined;
  const at = (i: Axis): number => origin[i] + direction[i] * t;
  return [at(0), at(1), at(2)];
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a[0]! * b[0]! + a[1]! * b[1]! + a[2]! * b[2]!;
}
