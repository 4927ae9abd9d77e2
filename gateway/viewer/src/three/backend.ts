/** What draws: the seam between the element and WebGL2 or WebGPU. */
import type { PerspectiveCamera, Scene } from 'three';
import type { FrustaShape } from '../core/frusta';
import type { Box, Mat4, Vec3 } from '../core/math';
import type { TileContent } from '../core/tile_stream';
import type { DecodedPoints } from '../worker/points';

/** A tile on the GPU. */
export interface GpuTile extends TileContent {
  /** Distance of neighbouring points, scene units. */
  readonly spacing: number;
  /** The same of all that is drawn in its region; the stage sets it. */
  drawnSpacing: number;
  readonly box: Box;
}

/** What of a scene is drawn. */
export type SurfaceMode = 'points' | 'surface' | 'both';
export type ColorMode = 'rgb' | 'confidence' | 'provenance';

export interface Style {
  readonly colorMode: ColorMode;
  /** 0..1: points below are left out. */
  readonly minConfidence: number;
  /** Strength of eye-dome lighting; 0 is off. */
  readonly edl: number;
  /** Factor on all point sizes. */
  readonly pointSize: number;
}

export interface Frame {
  readonly camera: PerspectiveCamera;
  /** The nearest first. */
  readonly tiles: readonly GpuTile[];
  readonly style: Style;
  readonly showCameras: boolean;
  /** Index of the camera to mark; −1 for none. */
  readonly markedCamera: number;
  /** Points in this box are marked, scene axes. */
  readonly region?: Box | undefined;
  /** Triangles to draw with the points; WebGL2 alone draws them. */
  readonly surface?: Scene | undefined;
}

export interface BackendEvents {
  /** All that was uploaded is gone. */
  readonly onLost: () => void;
  /** Drawing is possible again. */
  readonly onRestored: () => void;
}

export interface Backend {
  readonly kind: 'webgl2' | 'webgpu';
  upload(points: DecodedPoints, sceneFromFile: Mat4, spacing: number): GpuTile;
  setFrusta(shape: FrustaShape): void;
  /** Sizes are of the drawing buffer. */
  resize(width: number, height: number): void;
  render(frame: Frame): void;
  /** Return the nearest drawn scene point around a pixel of the drawing buffer, of the last frame. */
  pick(x: number, y: number, camera: PerspectiveCamera): Promise<Vec3 | undefined>;
  dispose(): void;
}
