/**
 * How dense the drawn points are in a tile's region, its drawn descendants included.
 *
 * Where all of a tile's children in view are drawn, their points and its own together have the
 * children's spacing, also where no child reaches: a lone point there stays as small as the rest.
 */
import type { OctreeNode } from './octree';

/** Return the spacing around a node; `own` is that of its own points. */
export function drawnSpacing<Content>(
  node: OctreeNode<Content>,
  own: (node: OctreeNode<Content>) => number,
): number {
  const below = spacingBelow(node, own);
  return node.isDrawn ? Math.min(own(node), below) : below;
}

/** Return the coarsest spacing of the children in view; Infinity if one of them is not drawn. */
function spacingBelow<Content>(
  node: OctreeNode<Content>,
  own: (node: OctreeNode<Content>) => number,
): number {
  if (!node.isRefined) return Infinity;
  const seen = node.children.filter((child) => child.isSeen);
  if (seen.length === 0) return Infinity;
  return Math.max(...seen.map((child) => drawnSpacing(child, own)));
}
