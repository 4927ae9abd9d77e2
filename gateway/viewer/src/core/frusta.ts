/** The cameras of a scene as wire frusta, and which of them lies under a place of the view. */
import type { SceneCamera } from './cameras';
import { type Mat4, transformPoint, type Vec3 } from './math';

/** Corners of the picture in halves of its size, then the tick that says where up is. */
const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1], [-0.3, 1.1], [0, 1.5], [0.3, 1.1]] as const; // prettier-ignore
/** Pairs of points: 0 is the camera's centre, 1 and on are the corners. */
const EDGES = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1, 5, 6, 6, 7, 7, 5];

export class FrustaShape {
  /** Ends of line segments, three numbers each. */
  readonly positions: Float32Array<ArrayBuffer>;
  /** Which camera each end belongs to. */
  readonly indices: Float32Array<ArrayBuffer>;
  /** Of each camera: its centre, then the corners. */
  private readonly points: readonly (readonly Vec3[])[];

  /** @param size distance from a camera's centre to its picture, scene units */
  constructor(cameras: readonly SceneCamera[], size: number) {
    this.points = cameras.map((camera) => [
      transformPoint(camera.matrix, [0, 0, 0]),
      ...CORNERS.map(([x, y]) =>
        transformPoint(camera.matrix, [
          x * camera.halfWidth * size,
          y * camera.halfHeight * size,
          -size,
        ]),
      ),
    ]);
    this.positions = new Float32Array(
      this.points.flatMap((points) => EDGES.flatMap((edge) => points[edge]!)),
    );
    this.indices = new Float32Array(this.points.flatMap((_, index) => EDGES.map(() => index)));
  }

  /**
   * Return the nearest camera whose frustum covers a place of the view; −1 for none.
   *
   * @param x −1 at the left, 1 at the right
   * @param y −1 at the bottom, 1 at the top
   */
  pick(x: number, y: number, viewProjection: Mat4, eye: Vec3): number {
    let best = -1;
    let nearest = Infinity;
    for (const [index, points] of this.points.entries()) {
      const outline = points.slice(0, 5).map((point) => project(viewProjection, point));
      if (!outline.every((place) => place !== undefined)) continue;
      const [a, b, c] = points[0]!;
      const distance = Math.hypot(a - eye[0], b - eye[1], c - eye[2]);
      if (distance < nearest && covers(outline, [x, y])) {
        nearest = distance;
        best = index;
      }
    }
    return best;
  }
}

type Place = readonly [number, number];

/** Return the place of a point in the view; undefined behind the eye. */
function project(m: Mat4, point: Vec3): Place | undefined {
  const [x, y, z] = point;
  const w = m[3]! * x + m[7]! * y + m[11]! * z + m[15]!;
  if (w <= 0) return undefined;
  const clip = transformPoint(m, point);
  return [clip[0] / w, clip[1] / w];
}

/** Tell whether the picture or one of the four sides covers a place; the centre is outline[0]. */
function covers(outline: readonly Place[], place: Place): boolean {
  const [center, a, b, c, d] = outline as [Place, Place, Place, Place, Place];
  const triangles = [[a, b, c], [a, c, d], [center, a, b], [center, b, c], [center, c, d], [center, d, a]]; // prettier-ignore
  return triangles.some((triangle) => {
    const sides = triangle.map((from, i) => {
      const to = triangle[(i + 1) % 3]!;
      return (to[0] - from[0]) * (place[1] - from[1]) - (to[1] - from[1]) * (place[0] - from[0]);
    });
    return sides.every((side) => side >= 0) || sides.every((side) => side <= 0);
  });
}
