/** A tile on the GPU, for WebGL. */
import { BufferAttribute, BufferGeometry, Matrix4, Points } from 'three';
import { type Box, boxMoved, type Mat4, multiply } from '../core/math';
import { BYTES_PER_POINT, type DecodedPoints } from '../worker/points';
import type { GpuTile } from './backend';

const EMPTY = new Uint8Array(0);

export class WebGlTile implements GpuTile {
  readonly bytes: number;
  drawnSpacing: number;

  constructor(
    readonly object: Points,
    readonly points: number,
    readonly spacing: number,
    readonly box: Box,
  ) {
    this.drawnSpacing = spacing;
    this.bytes = points * BYTES_PER_POINT;
  }

  dispose(): void {
    this.object.geometry.dispose();
  }
}

/** Return a tile of points whose arrays go to the GPU with its first frame. */
export function makeTile(points: DecodedPoints, sceneFromFile: Mat4, spacing: number): WebGlTile {
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(points.positions, 4));
  geometry.setAttribute('color', new BufferAttribute(points.colors, 4, true));
  // Once on the GPU, the page need not hold them as well.
  for (const attribute of Object.values(geometry.attributes) as BufferAttribute[])
    attribute.onUpload(() => { attribute.array = EMPTY; }); // prettier-ignore
  const object = new Points(geometry);
  object.matrixAutoUpdate = false;
  object.matrixWorldAutoUpdate = false;
  object.frustumCulled = false;
  object.matrixWorld = new Matrix4().fromArray(multiply(sceneFromFile, points.matrix));
  return new WebGlTile(object, points.count, spacing, boxMoved(sceneFromFile, points.box));
}
