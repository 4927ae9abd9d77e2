/** A frame's points for WebGL: which tiles, how large, and in which colours. */
import { Data3DTexture, DataTexture, GLSL3, NoBlending, RawShaderMaterial, RedFormat, Scene, Vector3 } from 'three'; // prettier-ignore
import { confidenceTable } from '../core/confidence';
import type { Box } from '../core/math';
import { provenanceTable } from '../core/provenance';
import { SpacingVolume, VOLUME_SIZE } from '../core/spacing_volume';
import type { ColorMode, Frame, GpuTile } from './backend';
import { FrustaLines } from './frusta_lines';
import { COVERAGE, POINT_FRAGMENT, POINT_VERTEX } from './point_shader';
import { WebGlTile } from './webgl_tile';

const DEFINES: Readonly<Record<ColorMode, string>> = {
  rgb: 'COLOR',
  confidence: 'HEAT',
  provenance: 'ORIGIN',
};

export class PointLayer {
  readonly scene = new Scene();
  readonly frusta = new FrustaLines();
  private readonly tables = makeTables();
  private readonly volumeTexture = new Data3DTexture(null, VOLUME_SIZE, VOLUME_SIZE, VOLUME_SIZE);
  private readonly materials = new Map<string, RawShaderMaterial>();
  private volume: SpacingVolume | undefined;
  private drawn: readonly GpuTile[] = [];
  private readonly uniforms = {
    spacings: { value: this.volumeTexture },
    volumeLow: { value: new Vector3() },
    volumeScale: { value: new Vector3() },
    coarsestPixels: { value: 1 },
    sizeRange: { value: [1, 64] },
    minConfidence: { value: 0 },
    tables: { value: this.tables },
    regionLow: { value: new Vector3() },
    regionHigh: { value: new Vector3() },
  };

  constructor() {
    this.scene.matrixWorldAutoUpdate = false;
    this.volumeTexture.format = RedFormat;
    this.volumeTexture.unpackAlignment = 1;
  }

  /** Put a frame's tiles into the scene; `height` is that of the picture in pixels. */
  take(frame: Frame, height: number): void {
    const { children } = this.scene;
    children.length = 0;
    const material = this.material(frame.style.colorMode, frame.region !== undefined);
    for (const tile of frame.tiles) {
      if (!(tile instanceof WebGlTile)) continue;
      tile.object.material = material;
      children.push(tile.object);
    }
    this.frusta.mark(frame.markedCamera);
    if (frame.showCameras) children.push(this.frusta.object);
    if (!isSame(frame.tiles, this.drawn)) this.spread(frame.tiles);
    this.setUniforms(frame, height);
  }

  dispose(): void {
    for (const material of this.materials.values()) material.dispose();
    for (const part of [this.frusta, this.tables, this.volumeTexture]) part.dispose();
  }

  private setUniforms({ camera, style, region }: Frame, height: number): void {
    const { uniforms } = this;
    const perRadian = height / (2 * Math.tan((camera.fov * Math.PI) / 360));
    const coarsest = this.volume?.coarsest ?? 1;
    uniforms.coarsestPixels.value = coarsest * perRadian * COVERAGE * style.pointSize;
    uniforms.sizeRange.value = [Math.max(1, height / 720), height / 24];
    uniforms.minConfidence.value = style.minConfidence * 255;
    if (region === undefined) return;
    uniforms.regionLow.value.set(...region.low);
    uniforms.regionHigh.value.set(...region.high);
  }

  /** Write the spacings of the drawn tiles into the volume. */
  private spread(tiles: readonly GpuTile[]): void {
    this.drawn = tiles;
    const around = unionOf(tiles);
    if (around === undefined) return;
    this.volume = new SpacingVolume(around);
    this.volume.fill(tiles);
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

  private material(mode: ColorMode, hasRegion: boolean): RawShaderMaterial {
    const key = `${mode} ${String(hasRegion)}`;
    let material = this.materials.get(key);
    if (material === undefined) {
      material = new RawShaderMaterial({
        glslVersion: GLSL3,
        vertexShader: POINT_VERTEX,
        fragmentShader: POINT_FRAGMENT,
        uniforms: this.uniforms,
        defines: { [DEFINES[mode]]: '', ROUND: '', ...(hasRegion && { REGION: '' }) },
        blending: NoBlending,
      });
      this.materials.set(key, material);
    }
    return material;
  }
}

/** Row 0: colours by confidence; row 1: by provenance. */
function makeTables(): DataTexture {
  const bytes = new Uint8Array(2 * 256 * 4);
  bytes.set(confidenceTable(256));
  bytes.set(provenanceTable(256), 256 * 4);
  const tables = new DataTexture(bytes, 256, 2);
  tables.needsUpdate = true;
  return tables;
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
