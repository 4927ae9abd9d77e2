/**
 * Between the axes of the files and those of the viewer's scene.
 *
 * The scene is glTF's: y up. 3D Tiles are z up, with y-up contents; transforms.json holds OpenGL
 * camera-to-world matrices in the reconstruction's world, which is y down (docs/conventions.md).
 */
import { IDENTITY, type Mat4, multiply } from './math';

/** (x, y, z) of a tileset becomes (x, z, −y). */
export const SCENE_FROM_TILESET: Mat4 = [1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
/** (x, y, z) of glTF becomes (x, −z, y). */
export const TILESET_FROM_SCENE: Mat4 = [1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1];
/** (x, y, z) of a reconstruction's world becomes (x, −y, −z). */
export const SCENE_FROM_WORLD: Mat4 = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1];

/** Return a tile's transform, which is given in z-up axes, as one between y-up axes. */
export function sceneTransformFromTile(transform: Mat4 | undefined): Mat4 {
  if (transform === undefined) return IDENTITY;
  return multiply(SCENE_FROM_TILESET, multiply(transform, TILESET_FROM_SCENE));
}
