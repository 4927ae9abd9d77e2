/** Small octrees for the tests. */
import { OctreeNode } from '../../../src/core/octree';
import { type Box, IDENTITY, type Vec3 } from '../../../src/core/math';
import type { View } from '../../../src/core/select';

export type Node = OctreeNode<never>;

/** Sees everything from one place; a length of 1 at a distance of 1 covers 1000 pixels. */
export function viewFrom(eye: Vec3): View {
  return { frustum: new Float64Array(24), eye, pixelsPerRadian: 1000, near: 0.01 };
}

export const cube = (x: number, width: number): Box => ({
  low: [x, 0, 0],
  high: [x + width, width, width],
});

/** A node that is here with its points. */
export function node(options: {
  box: Box;
  error: number;
  points: number;
  replaces?: boolean;
  children?: Node[];
}): Node {
  const made = new OctreeNode<never>(
    'http://x/t.glb', false, options.error, options.box, IDENTITY, options.replaces ?? false, 0, undefined,
  ); // prettier-ignore
  made.state = 'ready';
  made.points = options.points;
  made.children = options.children ?? [];
  return made;
}
