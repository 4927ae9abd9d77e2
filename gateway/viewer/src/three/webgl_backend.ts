/** Draws with WebGL2: points into a texture with depth, then one pass to the canvas. */
import {
  BufferAttribute,
  BufferGeometry,
  Data3DTexture,
  DataTexture,
  DepthTexture,
  GLSL3,
  Matrix4,
  Mesh,
  NearestFilter,
  NoBlending,
  OrthographicCamera,
  type PerspectiveCamera,
  Points,
  RawShaderMaterial,
  RedFormat,
  Scene,
  Vector3,
  WebGLRenderer,
  WebGLRenderTarget,
} from 'three';
import { confidenceTable } from '../core/confidence';
import { ViewerError } from '../core/errors';
import { type Box, boxMoved, type Mat4, multiply, type Vec3 } from '../core/math';
import { SpacingVolume, VOLUME_SIZE } from '../core/spacing_volume';
import type { FrustaShape } from '../core/frusta';
import { BYTES_PER_POINT, type DecodedPoints } from '../worker/points';
import type { Backend, BackendEvents, Frame, GpuTile } from './backend';
import { COMPOSITE_FRAGMENT, FULL_SCREEN_VERTEX, PICK_FRAGMENT } from './composite_shader';
import { FrustaLines } from './frusta_lines';
import { COVERAGE, POINT_FRAGMENT, POINT_VERTEX } from './point_shader';

/** Brightness lost for each share of depth that a pixel lies behind a neighbour. */
const EDL_STRENGTH = 4.5;
const PICK_SIZE = 17;
const EMPTY = new Uint8Array(0);

class WebGlTile implements GpuTile {
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

export class WebGlBackend implements Backend {
  readonly kind = 'webgl2';
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly target = makeTarget();
  private readonly pickTarget = new WebGLRenderTarget(PICK_SIZE, PICK_SIZE, { depthBuffer: false });
  private readonly frusta = new FrustaLines();
  private readonly heat = new DataTexture(confidenceTable(256), 256, 1);
  private readonly volumeTexture = new Data3DTexture(null, VOLUME_SIZE, VOLUME_SIZE, VOLUME_SIZE);
  private volume: SpacingVolume | undefined;
  private readonly pointMaterials = new Map<string, RawShaderMaterial>();
  private readonly screenMaterials = new Map<string, RawShaderMaterial>();
  private readonly screen = makeScreen();
  private readonly flat = new OrthographicCamera();
  private drawn: readonly GpuTile[] = [];
  private readonly uniforms;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly events: BackendEvents,
  ) {
    this.renderer = makeRenderer(canvas);
    this.renderer.autoClear = false;
    this.renderer.sortObjects = false;
    this.renderer.info.autoReset = false;
    this.scene.matrixWorldAutoUpdate = false;
    this.volumeTexture.format = RedFormat;
    this.volumeTexture.unpackAlignment = 1;
    this.heat.needsUpdate = true;
    this.uniforms = {
      spacings: { value: this.volumeTexture },
      volumeLow: { value: new Vector3() },
      volumeScale: { value: new Vector3() },
      coarsestPixels: { value: 1 },
      sizeRange: { value: [1, 64] },
      minConfidence: { value: 0 },
      heat: { value: this.heat },
      picture: { value: this.target.texture },
      depths: { value: this.target.depthTexture },
      range: { value: [0.1, 100] },
      strength: { value: 1 },
      radius: { value: 1 },
      corner: { value: [0, 0] },
    };
    canvas.addEventListener('webglcontextlost', this.onLost);
    canvas.addEventListener('webglcontextrestored', this.events.onRestored);
  }

  upload(points: DecodedPoints, sceneFromFile: Mat4, spacing: number): GpuTile {
    const matrix = multiply(sceneFromFile, points.matrix);
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
    object.matrixWorld = new Matrix4().fromArray(matrix);
    return new WebGlTile(object, points.count, spacing, boxMoved(sceneFromFile, points.box));
  }

  setFrusta(shape: FrustaShape): void {
    this.frusta.show(shape);
  }

  resize(width: number, height: number): void {
    this.renderer.setSize(width, height, false);
    this.target.setSize(width, height);
  }

  render(frame: Frame): void {
    const { camera, style } = frame;
    this.takeTiles(frame);
    const { uniforms } = this;
    const height = this.target.height;
    const perRadian = height / (2 * Math.tan((camera.fov * Math.PI) / 360));
    const coarsest = this.volume?.coarsest ?? 1;
    uniforms.coarsestPixels.value = coarsest * perRadian * COVERAGE * style.pointSize;
    uniforms.sizeRange.value = [Math.max(1, height / 720), height / 24];
    uniforms.minConfidence.value = style.minConfidence * 255;
    uniforms.range.value = [camera.near, camera.far];
    uniforms.strength.value = EDL_STRENGTH * style.edl;
    uniforms.radius.value = Math.max(1, Math.round(height / 900));
    this.frusta.mark(frame.markedCamera);

    this.renderer.setRenderTarget(this.target);
    this.renderer.setClearColor(0, 0);
    this.renderer.clear();
    this.renderer.render(this.scene, camera);
    this.renderer.setRenderTarget(null);
    this.runScreen('COMPOSITE', COMPOSITE_FRAGMENT);
  }

  pick(x: number, y: number, camera: PerspectiveCamera): Promise<Vec3 | undefined> {
    const half = (PICK_SIZE - 1) / 2;
    this.uniforms.corner.value = [
      Math.round(x) - half,
      this.target.height - 1 - Math.round(y) - half,
    ];
    this.renderer.setRenderTarget(this.pickTarget);
    this.runScreen('PICK', PICK_FRAGMENT);
    const bytes = new Uint8Array(PICK_SIZE ** 2 * 4);
    this.renderer.readRenderTargetPixels(this.pickTarget, 0, 0, PICK_SIZE, PICK_SIZE, bytes);
    this.renderer.setRenderTarget(null);
    const found = nearestPixel(bytes);
    if (found === undefined) return Promise.resolve(undefined);
    const { column, row, depth } = found;
    const place = new Vector3(
      ((this.uniforms.corner.value[0]! + column + 0.5) / this.target.width) * 2 - 1,
      ((this.uniforms.corner.value[1]! + row + 0.5) / this.target.height) * 2 - 1,
      depth * 2 - 1,
    ).unproject(camera);
    return Promise.resolve([place.x, place.y, place.z]);
  }

  dispose(): void {
    this.canvas.removeEventListener('webglcontextlost', this.onLost);
    this.canvas.removeEventListener('webglcontextrestored', this.events.onRestored);
    for (const materials of [this.pointMaterials, this.screenMaterials])
      for (const material of materials.values()) material.dispose();
    for (const part of [this.frusta, this.target, this.pickTarget, this.heat, this.volumeTexture])
      part.dispose();
    this.screen.geometry.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }

  private readonly onLost = (event: Event): void => {
    event.preventDefault();
    this.events.onLost();
  };

  /** Put a frame's tiles into the scene, and their spacings into the volume where they changed. */
  private takeTiles(frame: Frame): void {
    const { children } = this.scene;
    children.length = 0;
    const material = this.pointMaterial(frame.style.colorMode === 'confidence');
    for (const tile of frame.tiles) {
      if (!(tile instanceof WebGlTile)) continue;
      tile.object.material = material;
      children.push(tile.object);
    }
    if (frame.showCameras) children.push(this.frusta.object);
    if (isSame(frame.tiles, this.drawn)) return;
    this.drawn = frame.tiles;
    const around = unionOf(frame.tiles);
    if (around === undefined) return;
    this.volume = new SpacingVolume(around);
    this.volume.fill(frame.tiles);
    this.volumeTexture.image.data = this.volume.data;
    this.volumeTexture.needsUpdate = true;
    const { low, high } = around;
    this.uniforms.volumeLow.value.set(...low);
    this.uniforms.volumeScale.value.set(
      1 / Math.max(high[0] - low[0], 1e-9),
      1 / Math.max(high[1] - low[1], 1e-9),
      1 / Math.max(high[2] - low[2], 1e-9),
    );
  }

  private pointMaterial(isHeat: boolean): RawShaderMaterial {
    const key = isHeat ? 'HEAT' : 'COLOR';
    let material = this.pointMaterials.get(key);
    if (material === undefined) {
      material = new RawShaderMaterial({
        glslVersion: GLSL3,
        vertexShader: POINT_VERTEX,
        fragmentShader: POINT_FRAGMENT,
        uniforms: this.uniforms,
        defines: { [key]: '', ROUND: '' },
        blending: NoBlending,
      });
      this.pointMaterials.set(key, material);
    }
    return material;
  }

  private runScreen(key: string, fragmentShader: string): void {
    let material = this.screenMaterials.get(key);
    if (material === undefined) {
      material = new RawShaderMaterial({
        glslVersion: GLSL3,
        vertexShader: FULL_SCREEN_VERTEX,
        fragmentShader,
        uniforms: this.uniforms,
        defines: { [key]: '' },
        blending: NoBlending,
        depthTest: false,
        depthWrite: false,
      });
      this.screenMaterials.set(key, material);
    }
    this.screen.material = material;
    this.renderer.render(this.screen, this.flat);
  }
}

function makeRenderer(canvas: HTMLCanvasElement): WebGLRenderer {
  try {
    return new WebGLRenderer({ canvas, antialias: false, alpha: true, depth: false, stencil: false, powerPreference: 'high-performance' }); // prettier-ignore
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ViewerError('NO_GPU', `the browser gives no WebGL2: ${why}`);
  }
}

function makeTarget(): WebGLRenderTarget {
  const target = new WebGLRenderTarget(1, 1, {
    minFilter: NearestFilter,
    magFilter: NearestFilter,
    depthTexture: new DepthTexture(1, 1),
  });
  return target;
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

function unionOf(tiles: readonly GpuTile[]): Box | undefined {
  if (tiles.length === 0) return undefined;
  const low = [Infinity, Infinity, Infinity] as [number, number, number];
  const high = [-Infinity, -Infinity, -Infinity] as [number, number, number];
  for (const { box } of tiles)
    for (let axis = 0; axis < 3; axis++) {
      low[axis] = Math.min(low[axis]!, box.low[axis]!);
      high[axis] = Math.max(high[axis]!, box.high[axis]!);
    }
  return { low, high };
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}
