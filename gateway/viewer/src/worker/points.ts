/** What the viewer keeps of a point cloud, small enough to go to the GPU as it is. */
import type { Box, Mat4 } from '../core/math';

export interface DecodedPoints {
  readonly count: number;
  /** (count, 4): x, y, z on the file's grid; confidence in the low byte, provenance in the high. */
  readonly positions: Uint16Array<ArrayBuffer>;
  /** (count, 4): sRGB red, green, blue; 255. */
  readonly colors: Uint8Array<ArrayBuffer>;
  /** From the grid to the file's axes. */
  readonly matrix: Mat4;
  /** Typical distance of neighbouring points, in the file's axes. */
  readonly spacing: number;
  /** Around all points, in the file's axes. */
  readonly box: Box;
  /** Around the middle 96 % of the points on each axis, in the file's axes. */
  readonly bulk: Box;
  readonly hasConfidence: boolean;
  /** Whether the file says of its points where they come from; without it all count as observed. */
  readonly hasProvenance: boolean;
}

/** Bytes of one point in memory and on the GPU. */
export const BYTES_PER_POINT = 12;
