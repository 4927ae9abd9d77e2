/** Where to look from first: from the scene's middle camera, or so that the bulk fills the view. */
import type { SceneCamera } from './cameras';
import { type Box, boxCenter, boxRadius, type Vec3 } from './math';

export interface Pose {
  readonly eye: Vec3;
  /** What the camera looks at and turns about. */
  readonly target: Vec3;
}

/** How far the view may start behind or before the camera, as part of the distance to its target. */
const MOST_STEP = 0.35;

/**
 * Return the first pose.
 *
 * @param bulk box around most of the points, scene axes
 * @param fov vertical field of view, radians
 * @param aspect width / height of the view
 */
export function initialPose(
  bulk: Box,
  cameras: readonly SceneCamera[],
  fov: number,
  aspect: number,
): Pose {
  const camera = cameras[cameras.length >> 1];
  if (camera !== undefined) {
    const { eye, target } = poseFromCamera(camera, bulk);
    // The camera's picture just fits into the view.
    const high = Math.tan(fov / 2);
    const fit = Math.max(camera.halfHeight / high, camera.halfWidth / (high * aspect)) - 1;
    const step = Math.min(Math.max(fit, -MOST_STEP), MOST_STEP);
    const back = (i: 0 | 1 | 2): number => eye[i] + (eye[i] - target[i]) * step;
    return { eye: [back(0), back(1), back(2)], target };
  }
  const center = boxCenter(bulk);
  const half = Math.min(fov / 2, Math.atan(Math.tan(fov / 2) * aspect));
  const distance = boxRadius(bulk) / Math.sin(half) / 1.3;
  // From the front (reconstructions look along −z) and a little from the side and from above.
  const direction: Vec3 = [0.35, 0.3, 0.89];
  const away = (i: 0 | 1 | 2): number => center[i] + direction[i] * distance;
  return { eye: [away(0), away(1), away(2)], target: center };
}

/** Return the pose of a recording camera, looking at the depth of the middle of the bulk. */
export function poseFromCamera(camera: SceneCamera, bulk: Box): Pose {
  const m = camera.matrix;
  const eye: Vec3 = [m[12]!, m[13]!, m[14]!];
  const forward: Vec3 = [-m[8]!, -m[9]!, -m[10]!];
  const length = Math.hypot(...forward) || 1;
  const center = boxCenter(bulk);
  const along = [0, 1, 2].reduce((sum, i) => sum + (center[i]! - eye[i]!) * forward[i]!, 0);
  const distance = Math.max(along / length, boxRadius(bulk) * 0.2);
  const at = (i: 0 | 1 | 2): number => eye[i] + (forward[i] / length) * distance;
  return { eye, target: [at(0), at(1), at(2)] };
}
