/**
 * Chooses what to draw and what to fetch: the tiles whose absence would show most, up to a budget.
 *
 * A tile's priority is the distance in pixels between neighbouring points at its place if it is
 * left out, which is the projected error of its parent. Tiles drawn in the last selection count
 * slightly more and are kept slightly longer, so that equal ones do not take turns.
 */
import type { Frustum } from './frustum';
import { mayBeSeen } from './frustum';
import { MaxHeap } from './heap';
import { distanceToBox, type Vec3 } from './math';
import type { OctreeNode } from './octree';

export interface View {
  readonly frustum: Frustum;
  readonly eye: Vec3;
  /** Pixels that a length of 1 covers at a distance of 1. */
  readonly pixelsPerRadian: number;
  /** Distance below which nothing counts as nearer. */
  readonly near: number;
}

export interface SelectionOptions {
  /** Most points drawn. */
  readonly pointBudget: number;
  /** Pixels between neighbouring points below which no finer tiles are wanted. */
  readonly targetError: number;
}

export interface Selection<Content> {
  readonly drawn: readonly OctreeNode<Content>[];
  /** What should be fetched, the most urgent first. */
  readonly wanted: readonly OctreeNode<Content>[];
  readonly points: number;
}

/** How much more a tile counts that was drawn last time. */
const LOYALTY = 1.15;

/** Select tiles and mark them; nodes keep the marks for the next selection. */
export function select<Content>(
  root: OctreeNode<Content>,
  view: View,
  options: SelectionOptions,
  last: readonly OctreeNode<Content>[],
): Selection<Content> {
  return new Selector<Content>(view, options).run(root, last);
}

class Selector<Content> {
  private readonly queue = new MaxHeap<OctreeNode<Content>>();
  private readonly drawn: OctreeNode<Content>[] = [];
  private readonly wanted: OctreeNode<Content>[] = [];
  private points = 0;
  private expected = 0;

  constructor(
    private readonly view: View,
    private readonly options: SelectionOptions,
  ) {}

  run(root: OctreeNode<Content>, last: readonly OctreeNode<Content>[]): Selection<Content> {
    if (mayBeSeen(this.view.frustum, root.box)) {
      root.priority = Infinity;
      this.queue.push(root);
    }
    for (let node = this.queue.pop(); node !== undefined; node = this.queue.pop())
      if (!this.visit(node)) break;
    for (const node of last) node.isDrawn = false;
    for (const node of this.drawn) node.isDrawn = true;
    return { drawn: this.drawn, wanted: this.wanted, points: this.points };
  }

  /** Take one node; return false when the budget is spent. */
  private visit(node: OctreeNode<Content>): boolean {
    if (node.state === 'absent' || node.state === 'loading') {
      // No more is fetched than will fit; what is drawn stays until its better is here.
      if (!node.isTileset) this.expected += node.points;
      if (this.points + this.expected <= this.options.pointBudget || this.isFirst())
        this.wanted.push(node);
      return true;
    }
    node.isRefined = this.shouldRefine(node);
    for (const child of node.children)
      child.isSeen = node.isRefined && mayBeSeen(this.view.frustum, child.box);
    const seen = node.children.filter((child) => child.isSeen);
    const isReplaced =
      node.replaces && node.state === 'ready' && seen.length > 0 && seen.every(isHere);
    if (node.state === 'ready' && !node.isTileset && !isReplaced) {
      if (this.points + node.points > this.options.pointBudget && !this.isFirst()) return false;
      this.points += node.points;
      this.drawn.push(node);
    }
    const error = this.project(node.error, node);
    for (const child of seen) {
      // Where children replace, they are fetched beside their parent until all are here.
      if (node.replaces && !isReplaced && isHere(child) && node.state === 'ready') continue;
      const exact = node.isTileset ? node.priority : this.project(node.error, child);
      child.priority = (Number.isFinite(exact) ? exact : error) * (child.isDrawn ? LOYALTY : 1);
      this.queue.push(child);
    }
    return true;
  }

  private isFirst(): boolean {
    return this.drawn.length === 0 && this.wanted.length === 0;
  }

  private shouldRefine(node: OctreeNode<Content>): boolean {
    if (node.children.length === 0) return false;
    // A broken tile is a hole in the picture, not the end of what lies below it.
    if (node.state === 'empty' || node.state === 'failed' || node.isTileset) return true;
    const target = this.options.targetError / (node.isRefined ? LOYALTY : 1);
    return this.project(node.error, node) > target;
  }

  private project(length: number, node: OctreeNode<Content>): number {
    const distance = Math.max(distanceToBox(node.box, this.view.eye), this.view.near);
    return (length * this.view.pixelsPerRadian) / distance;
  }
}

function isHere<Content>(node: OctreeNode<Content>): boolean {
  if (node.state === 'failed') return true;
  if (node.isTileset || node.state === 'empty') return node.children.some(isHere);
  return node.state === 'ready';
}
