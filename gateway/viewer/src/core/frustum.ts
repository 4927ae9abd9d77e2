/** The six planes of a camera, and whether a box may be seen between them. */
import type { Box, Mat4 } from './math';

/** Twenty-four numbers: a, b, c, d of each plane; a·x + b·y + c·z + d ≥ 0 inside. */
export type Frustum = Float64Array;

/**
 * Take the planes of a projection · view matrix (OpenGL clip space).
 *
 * Source: Gribb and Hartmann, Fast Extraction of Viewing Frustum Planes, 2001.
 */
export function frustumFromMatrix(m: Mat4): Frustum {
  const planes = new Float64Array(24);
  for (let plane = 0; plane < 6; plane++) {
    const row = plane >> 1;
    const sign = plane & 1 ? -1 : 1;
    for (let i = 0; i < 4; i++) planes[plane * 4 + i] = m[i * 4 + 3]! + sign * m[i * 4 + row]!;
  }
  return planes;
}

/** Return false only for boxes that lie wholly behind one plane. */
export function mayBeSeen(planes: Frustum, { low, high }: Box): boolean {
  for (let i = 0; i < 24; i += 4) {
    const a = planes[i]!;
    const b = planes[i + 1]!;
    const c = planes[i + 2]!;
    const x = a > 0 ? high[0] : low[0];
    const y = b > 0 ? high[1] : low[1];
    const z = c > 0 ? high[2] : low[2];
    if (a * x + b * y + c * z + planes[i + 3]! < 0) return false;
  }
  return true;
}
