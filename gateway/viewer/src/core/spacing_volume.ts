/**
 * How dense the drawn points are at every place: a coarse grid of the finest drawn spacing.
 *
 * Point sizes follow the deepest drawn tile at a point's place, not the tile that holds it: with
 * sizes by tile, coarse points would lie like scales over the fine ones. One texture look-up a
 * point answers that; a descent through the tree in the shader would need one a level.
 */
import type { Box } from './math';

export const VOLUME_SIZE = 64;
/** Steps of one halving. */
const STEPS = 16;

export interface DrawnTile {
  readonly box: Box;
  /** Distance of neighbouring points in its region, scene units. */
  readonly drawnSpacing: number;
}

export class SpacingVolume {
  /** Steps below `coarsest`, x fastest; 255 steps are a ratio of 2^15.9. */
  readonly data = new Uint8Array(VOLUME_SIZE ** 3);
  /** Spacing that 0 stands for. */
  coarsest = 1;

  constructor(readonly box: Box) {}

  /** Fill the volume from drawn tiles; where none is, the coarsest spacing stands. */
  fill(tiles: readonly DrawnTile[]): void {
    this.data.fill(0);
    this.coarsest = tiles.reduce((most, tile) => Math.max(most, tile.drawnSpacing), 0) || 1;
    const fromCoarse = [...tiles].sort((a, b) => b.drawnSpacing - a.drawnSpacing);
    for (const tile of fromCoarse) this.paint(tile);
  }

  /** Return the spacing at a point, as the shader reads it. */
  at(point: readonly number[]): number {
    const [x, y, z] = [0, 1, 2].map((axis) =>
      Math.min(Math.max(Math.floor(this.cells(point[axis]!, axis)), 0), VOLUME_SIZE - 1),
    );
    const steps = this.data[(z! * VOLUME_SIZE + y!) * VOLUME_SIZE + x!]!;
    return this.coarsest * 2 ** (-steps / STEPS);
  }

  private cells(value: number, axis: number): number {
    const width = Math.max(this.box.high[axis]! - this.box.low[axis]!, 1e-9);
    return ((value - this.box.low[axis]!) / width) * VOLUME_SIZE;
  }

  /** Write one tile into the voxels whose centres it holds, or into the one it is smaller than. */
  private paint(tile: DrawnTile): void {
    const steps = Math.min(Math.round(STEPS * Math.log2(this.coarsest / tile.drawnSpacing)), 255);
    const range = (axis: number): [number, number] => {
      const low = this.cells(tile.box.low[axis]!, axis);
      const high = this.cells(tile.box.high[axis]!, axis);
      const first = Math.min(Math.max(Math.round(low), 0), VOLUME_SIZE - 1);
      return [first, Math.min(Math.max(Math.round(high), first + 1), VOLUME_SIZE)];
    };
    const [x0, x1] = range(0);
    const [y0, y1] = range(1);
    const [z0, z1] = range(2);
    for (let z = z0; z < z1; z++)
      for (let y = y0; y < y1; y++) {
        const row = (z * VOLUME_SIZE + y) * VOLUME_SIZE;
        this.data.fill(steps, row + x0, row + x1);
      }
  }
}
