/** One node of the octree: what the tileset says of it, and what the viewer knows of it. */
import type { Box, Mat4 } from './math';

/**
 * - `empty`: has no content; its children may have.
 * - `absent`: has content that is not here.
 * - `loading`, `ready`: on its way, here.
 * - `failed`: broken for good; it and what is below are skipped.
 */
export type NodeState = 'empty' | 'absent' | 'loading' | 'ready' | 'failed';

/** Points a tile is taken to hold until it is here. */
export const EXPECTED_POINTS = 16_384;

export class OctreeNode<Content> {
  children: OctreeNode<Content>[] = [];
  state: NodeState;
  content: Content | undefined;
  points = EXPECTED_POINTS;
  /** Whether it was chosen, and whether its children were asked for, in the last selection. */
  isDrawn = false;
  isRefined = false;
  /** Whether it was in view when its parent was refined last. */
  isSeen = false;
  /** Pixels between neighbouring points if this node is not drawn; set by the selection. */
  priority = 0;

  /**
   * @param url of its content, absolute; undefined where it has none
   * @param isTileset whether the content is a further tileset
   * @param error distance of its points to their neighbours, scene units; 0 at leaves
   * @param box around its points and its descendants' points, scene axes
   * @param transform from its contents' axes to the scene's
   * @param replaces whether its children stand in for it (refine REPLACE) or add to it (ADD)
   */
  constructor(
    readonly url: string | undefined,
    readonly isTileset: boolean,
    readonly error: number,
    readonly box: Box,
    readonly transform: Mat4,
    readonly replaces: boolean,
    readonly depth: number,
    readonly parent: OctreeNode<Content> | undefined,
  ) {
    this.state = url === undefined ? 'empty' : 'absent';
  }
}
