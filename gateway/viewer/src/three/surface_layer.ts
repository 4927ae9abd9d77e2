/** A surface of triangles beside the points: read with three's loader, drawn lit or not. A lazy chunk. */
import { DoubleSide, GLSL3, type Mesh, NoBlending, RawShaderMaterial, Scene } from 'three';
import { ViewerError } from '../core/errors';
import { makeGlbLoader } from './general_glb';
import { DRACOLoader } from 'three/addons/loaders/DRACOLoader.js';

/** More triangles than this are not worth their memory on a page. */
const MOST_TRIANGLES = 20_000_000;

const VERTEX = /* glsl */ `
precision highp float;
uniform mat4 modelMatrix;
uniform mat4 modelViewMatrix;
uniform mat4 projectionMatrix;
in vec3 position;
in vec3 normal;
in vec3 color; // linear
out vec3 tint;
out vec3 facing;
out vec3 toEye;

void main() {
  vec4 place = modelViewMatrix * vec4(position, 1.0);
  gl_Position = projectionMatrix * place;
  tint = color;
  facing = mat3(modelViewMatrix) * normal;
  toEye = -place.xyz;
}
`;

/** The photographs hold the room's own light; "lit" adds a lamp beside the eye, to show shape. */
const FRAGMENT = /* glsl */ `
precision highp float;
uniform float lit;
in vec3 tint;
in vec3 facing;
in vec3 toEye;
out vec4 pixel;

void main() {
  vec3 lamp = normalize(normalize(toEye) + vec3(-0.5, 0.8, 0.3));
  float light = dot(normalize(facing), lamp) * (gl_FrontFacing ? 1.0 : -1.0);
  float shade = mix(1.0, 0.22 + 1.05 * max(light, 0.0), lit);
  vec3 linear = clamp(tint * shade * (gl_FrontFacing ? 1.0 : 0.35), 0.0, 1.0);
  vec3 low = linear * 12.92;
  vec3 high = 1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055;
  pixel = vec4(mix(high, low, vec3(lessThanEqual(linear, vec3(0.0031308)))), 1.0);
}
`;

export class SurfaceLayer {
  readonly scene = new Scene();
  readonly triangles: number;
  private readonly material = new RawShaderMaterial({
    glslVersion: GLSL3,
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    uniforms: { lit: { value: 0 } },
    side: DoubleSide,
    blending: NoBlending,
  });
  private readonly meshes: Mesh[] = [];

  private constructor(read: Scene) {
    read.updateMatrixWorld(true);
    read.traverse((object) => {
      if ('isMesh' in object) this.meshes.push(object as Mesh);
    });
    this.triangles = this.meshes.reduce((sum, { geometry }) => sum + (geometry.index?.count ?? 0) / 3, 0); // prettier-ignore
    for (const mesh of this.meshes) {
      if (Array.isArray(mesh.material)) throw new ViewerError('BAD_CONTENT', 'a mesh has two materials'); // prettier-ignore
      mesh.material.dispose();
      mesh.material = this.material;
      mesh.frustumCulled = false;
    }
    this.scene.add(read);
  }

  /** Read a GLB of triangles with normals and colours; throws ViewerError. */
  static async read(buffer: ArrayBuffer): Promise<SurfaceLayer> {
    const draco = new DRACOLoader();
    try {
      const { scene } = await (await makeGlbLoader(draco)).parseAsync(buffer, '');
      const layer = new SurfaceLayer(scene as unknown as Scene);
      if (layer.triangles > 0 && layer.triangles <= MOST_TRIANGLES) return layer;
      layer.dispose();
      throw new ViewerError('LIMIT', `the surface has ${layer.triangles} triangles; 1 to ${MOST_TRIANGLES} are shown`); // prettier-ignore
    } catch (thrown) {
      if (thrown instanceof ViewerError) throw thrown;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ViewerError('BAD_CONTENT', `the surface does not load: ${why}`);
    } finally {
      draco.dispose();
    }
  }

  set isLit(value: boolean) {
    this.material.uniforms.lit!.value = value ? 1 : 0;
  }

  dispose(): void {
    for (const { geometry } of this.meshes) geometry.dispose();
    this.material.dispose();
  }
}
