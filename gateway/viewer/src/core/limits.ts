/** What the viewer refuses to hold, so that no file can exhaust a page. */

export interface TilesetLimits {
  /** Bytes of one tileset.json. */
  readonly jsonBytes: number;
  /** Tiles of all tilesets together. */
  readonly tiles: number;
  /** Levels from the root, over all external tilesets. */
  readonly depth: number;
  /** Bytes of one tile's content, or of one GLB. */
  readonly contentBytes: number;
}

export const LIMITS: TilesetLimits = {
  jsonBytes: 32 * 2 ** 20,
  tiles: 200_000,
  depth: 40,
  contentBytes: 1024 * 2 ** 20,
};
