/** The little linear algebra that the octree needs: column-major 4×4 matrices and boxes. */

export type Vec3 = readonly [number, number, number];
/** Sixteen numbers, column by column. */
export type Mat4 = readonly number[];

export interface Box {
  readonly low: Vec3;
  readonly high: Vec3;
}

export const IDENTITY: Mat4 = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

/** Return a · b. */
export function multiply(a: Mat4, b: Mat4): Mat4 {
  const out = new Array<number>(16).fill(0);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++)
      for (let k = 0; k < 4; k++) out[column * 4 + row]! += a[k * 4 + row]! * b[column * 4 + k]!;
  return out;
}

/** Return the point moved by an affine matrix. */
export function transformPoint(m: Mat4, [x, y, z]: Vec3): Vec3 {
  return [
    m[0]! * x + m[4]! * y + m[8]! * z + m[12]!,
    m[1]! * x + m[5]! * y + m[9]! * z + m[13]!,
    m[2]! * x + m[6]! * y + m[10]! * z + m[14]!,
  ];
}

/** Return the axis-aligned box around an oriented one, given by its centre and half axes. */
export function boxAround(m: Mat4, center: Vec3, halfAxes: readonly Vec3[]): Box {
  const middle = transformPoint(m, center);
  const reach = [0, 0, 0];
  for (const [x, y, z] of halfAxes)
    for (let row = 0; row < 3; row++)
      reach[row]! += Math.abs(m[row]! * x + m[4 + row]! * y + m[8 + row]! * z);
  return {
    low: [middle[0] - reach[0]!, middle[1] - reach[1]!, middle[2] - reach[2]!],
    high: [middle[0] + reach[0]!, middle[1] + reach[1]!, middle[2] + reach[2]!],
  };
}

/** Return the axis-aligned box around a box that an affine matrix moves. */
export function boxMoved(m: Mat4, { low, high }: Box): Box {
  const half = low.map((value, axis) => (high[axis]! - value) / 2);
  const [x, y, z] = half as [number, number, number];
  return boxAround(m, boxCenter({ low, high }), [[x, 0, 0], [0, y, 0], [0, 0, z]]); // prettier-ignore
}

/** Return the distance from a point to the nearest point of a box; 0 inside. */
export function distanceToBox({ low, high }: Box, [x, y, z]: Vec3): number {
  const dx = Math.max(low[0] - x, 0, x - high[0]);
  const dy = Math.max(low[1] - y, 0, y - high[1]);
  const dz = Math.max(low[2] - z, 0, z - high[2]);
  return Math.sqrt(dx * dx + dy * dy + dz * dz);
}

export function boxCenter({ low, high }: Box): Vec3 {
  return [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2];
}

/** Return half the diagonal of a box. */
export function boxRadius({ low, high }: Box): number {
  return Math.hypot(high[0] - low[0], high[1] - low[1], high[2] - low[2]) / 2;
}
