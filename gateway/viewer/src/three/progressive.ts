/** For plain three.js pages: loads a scene's GLBs from small to large and hands over each. */
import type { Object3D } from 'three';

export interface ProgressiveUrls {
  readonly preview: string;
  readonly medium?: string;
  readonly full?: string;
}

export type Level = 'preview' | 'medium' | 'full';

/** What can load a GLB: three's GLTFLoader with its meshopt decoder set. */
export interface GlbLoader {
  loadAsync(url: string): Promise<{ scene: Object3D }>;
}

export interface ProgressiveOptions {
  /** The page's own GLTFLoader, so that its objects are of the page's three.js; else one is made. */
  readonly loader?: GlbLoader;
  readonly signal?: AbortSignal;
}

/**
 * Load levels one after the other; the page shows each in the place of the last.
 *
 * @param onLevel is given each level's scene and its name as it comes
 * @returns the last level shown. A larger level that fails does not spoil a smaller one: its error
 *   is thrown after the call of onLevel for those that came.
 */
export async function loadProgressively(
  urls: ProgressiveUrls,
  onLevel: (scene: Object3D, level: Level) => void,
  { loader, signal }: ProgressiveOptions = {},
): Promise<Level | undefined> {
  const from = loader ?? (await (await import('./general_glb')).makeGlbLoader());
  let last: Level | undefined;
  for (const level of ['preview', 'medium', 'full'] as const) {
    const url = urls[level];
    if (url === undefined) continue;
    const { scene } = await from.loadAsync(url);
    if (signal?.aborted === true) return last;
    onLevel(scene, level);
    last = level;
  }
  return last;
}
