/** Passes over the whole picture: to the canvas, and to a few pixels that a page can read. */
import { BufferGeometry, DepthTexture, GLSL3, Mesh, NearestFilter, NoBlending, OrthographicCamera, type PerspectiveCamera, RawShaderMaterial, Vector3, type WebGLRenderer, WebGLRenderTarget } from 'three'; // prettier-ignore
import type { Vec3 } from '../core/math';
import { COMPOSITE_FRAGMENT, FULL_SCREEN_VERTEX, PICK_FRAGMENT } from './composite_shader';

/** Brightness lost for each share of depth that a pixel lies behind a neighbour. */
const EDL_STRENGTH = 4.5;
const PICK_SIZE = 17;

export class ScreenPasses {
  /** What points are drawn into. */
  readonly target = makeTarget();
  private readonly pickTarget = new WebGLRenderTarget(PICK_SIZE, PICK_SIZE, { depthBuffer: false });
  private readonly screen = makeScreen();
  private readonly flat = new OrthographicCamera();
  private readonly uniforms = {
    picture: { value: this.target.texture },
    depths: { value: this.target.depthTexture },
    range: { value: [0.1, 100] },
    strength: { value: 1 },
    radius: { value: 1 },
    corner: { value: [0, 0] },
  };
  private readonly composite = this.material(COMPOSITE_FRAGMENT);
  private readonly picking = this.material(PICK_FRAGMENT);

  constructor(private readonly renderer: WebGLRenderer) {}

  /** Light the picture and write it to the canvas; `edl` is the strength of the light. */
  toCanvas({ near, far }: PerspectiveCamera, edl: number): void {
    this.uniforms.range.value = [near, far];
    this.uniforms.strength.value = EDL_STRENGTH * edl;
    this.uniforms.radius.value = Math.max(1, Math.round(this.target.height / 900));
    this.renderer.setRenderTarget(null);
    this.run(this.composite);
  }

  /** Return the scene point nearest to a pixel of the picture. */
  pick(x: number, y: number, camera: PerspectiveCamera): Vec3 | undefined {
    const half = (PICK_SIZE - 1) / 2;
    const { width, height } = this.target;
    const corner = [Math.round(x) - half, height - 1 - Math.round(y) - half] as const;
    this.uniforms.corner.value = [...corner];
    this.renderer.setRenderTarget(this.pickTarget);
    this.run(this.picking);
    const bytes = new Uint8Array(PICK_SIZE ** 2 * 4);
    this.renderer.readRenderTargetPixels(this.pickTarget, 0, 0, PICK_SIZE, PICK_SIZE, bytes);
    this.renderer.setRenderTarget(null);
    const found = nearestPixel(bytes);
    if (found === undefined) return undefined;
    const place = new Vector3(
      ((corner[0] + found.column + 0.5) / width) * 2 - 1,
      ((corner[1] + found.row + 0.5) / height) * 2 - 1,
      found.depth * 2 - 1,
    ).unproject(camera);
    return [place.x, place.y, place.z];
  }

  dispose(): void {
    for (const part of [this.target, this.pickTarget, this.composite, this.picking]) part.dispose();
    this.screen.geometry.dispose();
  }

  private material(fragmentShader: string): RawShaderMaterial {
    return new RawShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: FULL_SCREEN_VERTEX,
      fragmentShader,
      uniforms: this.uniforms,
      blending: NoBlending,
      depthTest: false,
      depthWrite: false,
    });
  }

  private run(material: RawShaderMaterial): void {
    this.screen.material = material;
    this.renderer.render(this.screen, this.flat);
  }
}

function makeTarget(): WebGLRenderTarget {
  return new WebGLRenderTarget(1, 1, {
    minFilter: NearestFilter,
    magFilter: NearestFilter,
    depthTexture: new DepthTexture(1, 1),
  });
}

/** One triangle over everything; its corners come from the vertex's number. */
function makeScreen(): Mesh<BufferGeometry, RawShaderMaterial> {
  const screen = new Mesh(new BufferGeometry(), new RawShaderMaterial());
  screen.geometry.setDrawRange(0, 3);
  screen.frustumCulled = false;
  return screen;
}

function nearestPixel(
  bytes: Uint8Array,
): { column: number; row: number; depth: number } | undefined {
  const middle = (PICK_SIZE - 1) / 2;
  let best: { column: number; row: number; depth: number } | undefined;
  let least = Infinity;
  for (let i = 0; i < PICK_SIZE ** 2; i++) {
    if (bytes[i * 4 + 3] === 255) continue;
    const column = i % PICK_SIZE;
    const row = Math.floor(i / PICK_SIZE);
    const away = Math.hypot(column - middle, row - middle);
    if (away >= least) continue;
    least = away;
    const [r, g, b] = [bytes[i * 4]! / 255, bytes[i * 4 + 1]! / 255, bytes[i * 4 + 2]! / 255];
    best = { column, row, depth: r + g / 255 + b / 65025 };
  }
  return best;
}
