/** The cameras of a scene as wire frusta, and which of them lies under a pixel. */
import {
  BufferAttribute,
  BufferGeometry,
  GLSL3,
  LineSegments,
  Matrix4,
  type PerspectiveCamera,
  RawShaderMaterial,
  Vector3,
} from 'three';
import type { SceneCamera } from '../core/cameras';

const VERTEX = /* glsl */ `
precision highp float;
uniform mat4 viewMatrix;
uniform mat4 projectionMatrix;
uniform float marked;
in vec3 position;
in float index;
flat out vec3 shade;
void main() {
  gl_Position = projectionMatrix * (viewMatrix * vec4(position, 1.0));
  shade = index == marked ? vec3(1.0, 0.72, 0.2) : vec3(0.36, 0.66, 1.0);
}
`;
const FRAGMENT = /* glsl */ `
precision mediump float;
flat in vec3 shade;
out vec4 pixel;
void main() { pixel = vec4(shade, 1.0); }
`;

/** Corners of the picture at distance 1, in halves of its size, and the tick that says where up is. */
const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1], [-0.3, 1.1], [0, 1.5], [0.3, 1.1]] as const; // prettier-ignore
/** Pairs of points: 0 is the camera's centre, 1 and on are the corners. */
const EDGES = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1, 5, 6, 6, 7, 7, 5];

export class Frusta {
  readonly lines: LineSegments<BufferGeometry, RawShaderMaterial>;
  /** (cameras, 8, 3): centre, four corners, the tick. */
  private corners: Float32Array<ArrayBuffer> = new Float32Array(0);

  constructor() {
    const material = new RawShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: { marked: { value: -1 } },
      depthWrite: false,
    });
    this.lines = new LineSegments(new BufferGeometry(), material);
    this.lines.frustumCulled = false;
    this.lines.matrixAutoUpdate = false;
  }

  /** Show these cameras; `size` is the distance from a centre to its picture, scene units. */
  set(cameras: readonly SceneCamera[], size: number): void {
    const points = CORNERS.length + 1;
    this.corners = new Float32Array(cameras.length * points * 3);
    const matrix = new Matrix4();
    const corner = new Vector3();
    for (const [i, camera] of cameras.entries()) {
      matrix.fromArray(camera.matrix);
      corner.setFromMatrixPosition(matrix).toArray(this.corners, i * points * 3);
      for (const [c, [x, y]] of CORNERS.entries())
        corner
          .set(x * camera.halfWidth * size, y * camera.halfHeight * size, -size)
          .applyMatrix4(matrix)
          .toArray(this.corners, (i * points + c + 1) * 3);
    }
    const position = new Float32Array(cameras.length * EDGES.length * 3);
    const index = new Float32Array(cameras.length * EDGES.length);
    for (let i = 0; i < cameras.length; i++)
      for (const [e, point] of EDGES.entries()) {
        const from = (i * points + point) * 3;
        position.set(this.corners.subarray(from, from + 3), (i * EDGES.length + e) * 3);
        index[i * EDGES.length + e] = i;
      }
    this.lines.geometry.dispose();
    this.lines.geometry = new BufferGeometry()
      .setAttribute('position', new BufferAttribute(position, 3))
      .setAttribute('index', new BufferAttribute(index, 1));
  }

  mark(index: number): void {
    this.lines.material.uniforms.marked!.value = index;
  }

  /** Return the nearest camera whose picture covers a place of the view (−1..1); −1 for none. */
  pick(x: number, y: number, camera: PerspectiveCamera): number {
    const points = CORNERS.length + 1;
    const corner = new Vector3();
    let best = -1;
    let nearest = Infinity;
    for (let i = 0; i < this.corners.length / points / 3; i++) {
      const outline: [number, number][] = [];
      for (let c = 0; c < 5; c++) {
        corner.fromArray(this.corners, (i * points + c) * 3).project(camera);
        if (corner.z > 1) break;
        outline.push([corner.x, corner.y]);
      }
      if (outline.length < 5) continue;
      const center = new Vector3().fromArray(this.corners, i * points * 3);
      const distance = center.distanceTo(camera.position);
      if (distance < nearest && covers(outline, x, y)) {
        nearest = distance;
        best = i;
      }
    }
    return best;
  }

  dispose(): void {
    this.lines.geometry.dispose();
    this.lines.material.dispose();
  }
}

/** Tell whether the picture or one of the four sides covers a place; the centre is outline[0]. */
function covers(outline: readonly [number, number][], x: number, y: number): boolean {
  const [center, a, b, c, d] = outline as [P, P, P, P, P];
  const triangles: [P, P, P][] = [[a, b, c], [a, c, d], [center, a, b], [center, b, c], [center, c, d], [center, d, a]]; // prettier-ignore
  return triangles.some(([p, q, r]) => {
    const side = (u: P, v: P): number => (v[0] - u[0]) * (y - u[1]) - (v[1] - u[1]) * (x - u[0]);
    const sides = [side(p, q), side(q, r), side(r, p)];
    return sides.every((s) => s >= 0) || sides.every((s) => s <= 0);
  });
}

type P = [number, number];
