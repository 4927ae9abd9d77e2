/** The camera as frames need it: its planes around the scene, and what it sees. */
import { PerspectiveCamera } from 'three';
import { frustumFromMatrix } from '../core/frustum';
import { type Box, boxCenter, boxRadius, type Mat4 } from '../core/math';
import type { View } from '../core/select';

const FIELD_OF_VIEW = 55;

export class Lens {
  readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.1, 100);

  /** Vertical field of view, radians. */
  get fov(): number {
    return (this.camera.fov * Math.PI) / 180;
  }

  resize(width: number, height: number): void {
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.updateProjectionMatrix();
  }

  /**
   * Take the camera's place, and put near and far around the scene as seen from there.
   *
   * @param box around the scene, where it is known
   * @param toTarget distance from the camera to what it turns about
   */
  focus(box: Box | undefined, toTarget: number): void {
    const { camera } = this;
    if (box !== undefined) {
      const place = camera.position;
      const toCenter = Math.hypot(...boxCenter(box).map((v, i) => v - place.getComponent(i)));
      camera.far = (toCenter + boxRadius(box)) * 1.05;
      camera.near = Math.max(Math.min(toTarget * 0.02, camera.far * 0.1), camera.far * 1e-4);
      camera.updateProjectionMatrix();
    }
    camera.updateMatrixWorld();
  }

  /** From the scene to clip space, as focus() saw it last. */
  viewProjection(): Mat4 {
    const { projectionMatrix, matrixWorldInverse } = this.camera;
    return projectionMatrix.clone().multiply(matrixWorldInverse).elements;
  }

  /** @param height of the drawing buffer */
  view(height: number): View {
    return {
      frustum: frustumFromMatrix(this.viewProjection()),
      eye: this.camera.position.toArray(),
      pixelsPerRadian: height / (2 * Math.tan(this.fov / 2)),
      near: this.camera.near,
    };
  }
}
