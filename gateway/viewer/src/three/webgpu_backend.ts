/**
 * Draws with WebGPU, on request: points as instanced squares, since WebGPU's own are one pixel wide.
 *
 * Sizes go by tile, by the finest spacings that are drawn around it; there is no eye-dome lighting
 * and no picking of points here.
 */
import {
  BufferAttribute,
  BufferGeometry,
  DataTexture,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  LinearSRGBColorSpace,
  LineBasicNodeMaterial,
  LineSegments,
  Matrix4,
  Mesh,
  NodeMaterial,
  Scene,
  WebGPURenderer,
} from 'three/webgpu';
import { attribute, cameraProjectionMatrix, clamp, Discard, dot, float, Fn, If, mix, mod, modelViewMatrix, modelWorldMatrix, texture, uniform, varying, vec2, vec3, vec4, viewportSize } from 'three/tsl'; // prettier-ignore
import { confidenceTable } from '../core/confidence';
import { DIMMED, OWN_LIGHT, provenanceTable } from '../core/provenance';
import { ViewerError } from '../core/errors';
import type { FrustaShape } from '../core/frusta';
import { type Box, boxMoved, type Mat4, multiply, type Vec3 } from '../core/math';
import { SpacingVolume } from '../core/spacing_volume';
import { BYTES_PER_POINT, type DecodedPoints } from '../worker/points';
import type { Backend, Frame, GpuTile } from './backend';
import { COVERAGE } from './point_shader';

const MODES = { rgb: 0, confidence: 1, provenance: 2 } as const;
const NOWHERE = [0, 0, 0] as const;
const QUAD = new Float32Array([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0]);

class WebGpuTile implements GpuTile {
  readonly bytes: number;
  drawnSpacing: number;

  constructor(
    readonly object: Mesh<InstancedBufferGeometry>,
    readonly points: number,
    readonly spacing: number,
    readonly box: Box,
  ) {
    this.drawnSpacing = spacing;
    // The renderer keeps the arrays beside the buffers.
    this.bytes = points * BYTES_PER_POINT * 2;
  }

  dispose(): void {
    this.object.geometry.dispose();
  }
}

export class WebGpuBackend implements Backend {
  readonly kind = 'webgpu';
  private readonly scene = new Scene();
  private readonly uniforms = {
    perRadian: uniform(1),
    sizes: uniform(vec2(1, 64)),
    minConfidence: uniform(0),
    /** 0: colours, 1: confidence, 2: provenance. */
    mode: uniform(0),
    regionLow: uniform(vec3(0)),
    /** Not above regionLow where nothing is marked. */
    regionHigh: uniform(vec3(0)),
  };
  private readonly heat = new DataTexture(confidenceTable(256), 256, 1);
  private readonly origins = new DataTexture(provenanceTable(256), 256, 1);
  private readonly material: NodeMaterial;
  private readonly lines = new LineSegments(new BufferGeometry(), new LineBasicNodeMaterial({ color: 0x5ca8ff, depthWrite: false })); // prettier-ignore
  private drawn: readonly GpuTile[] = [];
  private height = 1;

  private constructor(private readonly renderer: WebGPURenderer) {
    this.heat.needsUpdate = this.origins.needsUpdate = true;
    this.material = this.makeMaterial();
    this.lines.frustumCulled = false;
    this.lines.geometry.setAttribute('position', new BufferAttribute(new Float32Array(6), 3));
    this.scene.matrixWorldAutoUpdate = false;
  }

  /** Make one on a canvas that has no context yet; throws ViewerError NO_GPU, the canvas untouched. */
  static async create(canvas: HTMLCanvasElement, onLost: () => void): Promise<WebGpuBackend> {
    const gpu = (navigator as { gpu?: GPU }).gpu;
    const adapter = await gpu?.requestAdapter();
    if (gpu === undefined || !adapter)
      throw new ViewerError('NO_GPU', 'the browser gives no WebGPU adapter');
    const device = await adapter.requestDevice();
    const renderer = new WebGPURenderer({ canvas, device, antialias: false, alpha: true });
    await renderer.init();
    renderer.outputColorSpace = LinearSRGBColorSpace;
    renderer.setClearColor(0x000000, 0);
    renderer.sortObjects = false;
    void device.lost.then(({ reason }) => { if (reason !== 'destroyed') onLost(); }); // prettier-ignore
    return new WebGpuBackend(renderer);
  }

  upload(points: DecodedPoints, sceneFromFile: Mat4, spacing: number): GpuTile {
    const geometry = new InstancedBufferGeometry();
    geometry.setAttribute('position', new BufferAttribute(QUAD, 3));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    geometry.setAttribute('place', new InstancedBufferAttribute(points.positions, 4, true));
    geometry.setAttribute('tint', new InstancedBufferAttribute(points.colors, 4, true));
    geometry.instanceCount = points.count;
    const object = new Mesh(geometry, this.material);
    object.frustumCulled = false;
    object.matrixAutoUpdate = false;
    object.matrixWorldAutoUpdate = false;
    object.matrixWorld = new Matrix4().fromArray(multiply(sceneFromFile, points.matrix));
    object.userData.spacing = spacing;
    const box = boxMoved(sceneFromFile, points.box);
    return new WebGpuTile(object, points.count, spacing, box);
  }

  setFrusta(shape: FrustaShape): void {
    this.lines.geometry.dispose();
    this.lines.geometry = new BufferGeometry().setAttribute(
      'position',
      new BufferAttribute(shape.positions, 3),
    );
  }

  resize(width: number, height: number): void {
    this.height = height;
    this.renderer.setSize(width, height, false);
  }

  render({ camera, tiles, style, showCameras, region }: Frame): void {
    const { uniforms } = this;
    uniforms.perRadian.value = (this.height / (2 * Math.tan((camera.fov * Math.PI) / 360))) * COVERAGE * style.pointSize; // prettier-ignore
    uniforms.sizes.value.set(Math.max(1, this.height / 720), this.height / 24);
    uniforms.minConfidence.value = style.minConfidence * 255;
    uniforms.mode.value = MODES[style.colorMode];
    uniforms.regionLow.value.set(...(region?.low ?? NOWHERE));
    uniforms.regionHigh.value.set(...(region?.high ?? NOWHERE));
    const { children } = this.scene;
    children.length = 0;
    for (const tile of tiles) if (tile instanceof WebGpuTile) children.push(tile.object);
    if (showCameras) children.push(this.lines);
    if (tiles.length !== this.drawn.length || tiles.some((tile, i) => tile !== this.drawn[i])) {
      this.drawn = tiles;
      spread(tiles);
    }
    this.renderer.render(this.scene, camera);
  }

  pick(): Promise<Vec3 | undefined> {
    return Promise.resolve(undefined);
  }

  dispose(): void {
    this.material.dispose();
    this.heat.dispose();
    this.origins.dispose();
    this.lines.geometry.dispose();
    this.lines.material.dispose();
    void this.renderer.dispose();
  }

  /** Corners of a square of the right size in pixels around each point; colour from the point. */
  private makeMaterial(): NodeMaterial {
    const { perRadian, sizes, minConfidence, mode, regionLow, regionHigh } = this.uniforms;
    const material = new NodeMaterial();
    const place = attribute<'vec4'>('place', 'vec4').mul(65535);
    const corner = attribute<'vec3'>('position', 'vec3').xy;
    const spacing = uniform(1).onObjectUpdate(({ object }) => object?.userData.spacing as number);
    const extras = place.w.add(0.5).floor();
    const confidence = mod(extras, 256);
    material.vertexNode = Fn(() => {
      const clip = cameraProjectionMatrix.mul(modelViewMatrix).mul(vec4(place.xyz, 1)).toVar();
      const size = clamp(spacing.mul(perRadian).div(clip.w), sizes.x, sizes.y);
      clip.xy.addAssign(corner.mul(size).div(viewportSize).mul(clip.w));
      void If(confidence.lessThan(minConfidence), () => { clip.z.assign(clip.w.mul(2)); }); // prettier-ignore
      return clip;
    })();
    const side = varying(corner);
    const tint = varying(attribute<'vec4'>('tint', 'vec4'));
    const sure = varying(confidence);
    const origin = varying(extras.div(256).floor());
    const spot = varying(modelWorldMatrix.mul(vec4(place.xyz, 1)).xyz);
    material.fragmentNode = Fn(() => {
      Discard(side.dot(side).greaterThan(1));
      const hot = texture(this.heat, vec2(sure.add(0.5).div(256), 0.5));
      const kind = texture(this.origins, vec2(origin.add(0.5).div(256), 0.5));
      const light = dot(tint.rgb, vec3(0.299, 0.587, 0.114));
      const observed = mix(vec3(light), tint.rgb, 0.25).mul(DIMMED);
      const filled = kind.rgb.mul(mix(float(1), light.mul(0.6).add(0.55), OWN_LIGHT));
      const told = mix(observed, filled, kind.a);
      const shade = mode.greaterThan(1.5).select(told, mode.greaterThan(0.5).select(hot.rgb, tint.rgb)); // prettier-ignore
      const inside = spot.greaterThan(regionLow).all().and(spot.lessThan(regionHigh).all());
      return vec4(inside.select(mix(shade, vec3(1, 0.32, 0.24), 0.62), shade), float(1));
    })();
    return material;
  }
}

/** Give every tile the mean (of squares) of the finest drawn spacings at eight places in its box. */
function spread(tiles: readonly GpuTile[]): void {
  const first = tiles[0];
  if (first === undefined) return;
  const low = [0, 1, 2].map((axis) => Math.min(...tiles.map(({ box }) => box.low[axis]!)));
  const high = [0, 1, 2].map((axis) => Math.max(...tiles.map(({ box }) => box.high[axis]!)));
  const volume = new SpacingVolume({ low, high } as unknown as Box);
  volume.fill(tiles);
  for (const tile of tiles) {
    if (!(tile instanceof WebGpuTile)) continue;
    let squares = 0;
    for (let corner = 0; corner < 8; corner++) {
      const point = [0, 1, 2].map((axis) => {
        const share = (corner >> axis) & 1 ? 0.75 : 0.25;
        return tile.box.low[axis]! * (1 - share) + tile.box.high[axis]! * share;
      });
      squares += Math.min(volume.at(point), tile.spacing) ** 2;
    }
    tile.object.userData.spacing = Math.sqrt(squares / 8);
  }
}
