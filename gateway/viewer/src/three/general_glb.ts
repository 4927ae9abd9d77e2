/**
 * Reads GLBs that the small reader does not know (Draco, meshes, many nodes) with three's loader;
 * of meshes, the vertices are shown as points. A lazy chunk: most pages never need it.
 */
import { type BufferAttribute, type Mesh, type Object3D } from 'three';
import { DRACOLoader } from 'three/addons/loaders/DRACOLoader.js';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { MeshoptDecoder } from 'three/addons/libs/meshopt_decoder.module.js';
import { ViewerError } from '../core/errors';
import { IDENTITY } from '../core/math';
import { MOST_POINTS } from '../worker/glb';
import { boxesOf, spacingOf } from '../worker/measure';
import type { DecodedPoints } from '../worker/points';
import { srgbFromLinear16 } from '../worker/srgb';

/** Return three's loader, able to read every codec of the exports. */
export async function makeGlbLoader(draco = new DRACOLoader()): Promise<GLTFLoader> {
  await MeshoptDecoder.ready;
  return new GLTFLoader().setDRACOLoader(draco).setMeshoptDecoder(MeshoptDecoder);
}

/** Return all vertices of a GLB as points; throws ViewerError. */
export async function readGeneralGlb(buffer: ArrayBuffer): Promise<DecodedPoints> {
  const draco = new DRACOLoader();
  try {
    const { scene } = await (await makeGlbLoader(draco)).parseAsync(buffer, '');
    scene.updateMatrixWorld(true);
    return pointsFrom(scene);
  } catch (thrown) {
    if (thrown instanceof ViewerError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ViewerError('BAD_CONTENT', `the GLB does not load: ${why}`);
  } finally {
    draco.dispose();
  }
}

function pointsFrom(scene: Object3D): DecodedPoints {
  const parts: Mesh[] = [];
  scene.traverse((object) => {
    if ('geometry' in object) parts.push(object as Mesh);
  });
  const count = parts.reduce((sum, { geometry }) => sum + (geometry.attributes.position?.count ?? 0), 0); // prettier-ignore
  if (count === 0 || count > MOST_POINTS)
    throw new ViewerError('LIMIT', `the GLB has ${count} vertices; 1 to ${MOST_POINTS} are shown`);
  const places = new Float32Array(count * 3);
  const colors = new Uint8Array(count * 4).fill(200);
  const confidence = new Uint8Array(count).fill(255);
  const origins = new Uint8Array(count);
  let row = 0;
  for (const part of parts) {
    const { position, color, _confidence, _provenance } = part.geometry.attributes as Record<string, BufferAttribute | undefined>; // prettier-ignore
    if (position === undefined) continue;
    const e = part.matrixWorld.elements;
    for (let i = 0; i < position.count; i++, row++) {
      const [x, y, z] = [position.getX(i), position.getY(i), position.getZ(i)];
      for (let axis = 0; axis < 3; axis++)
        places[row * 3 + axis] = e[axis]! * x + e[4 + axis]! * y + e[8 + axis]! * z + e[12 + axis]!;
      if (color !== undefined) writeColor(color, i, colors, row * 4);
      if (_confidence !== undefined) confidence[row] = Math.round(_confidence.getX(i) * 255);
      if (_provenance !== undefined) origins[row] = _provenance.getX(i);
    }
  }
  return onGrid(places, colors, confidence, origins);
}

function writeColor(color: BufferAttribute, i: number, out: Uint8Array, at: number): void {
  const table = srgbFromLinear16();
  for (let channel = 0; channel < 3; channel++) {
    const linear = Math.min(Math.max(color.getComponent(i, channel), 0), 1);
    out[at + channel] = table[Math.round(linear * 65535)]!;
  }
}

function onGrid(
  places: Float32Array,
  colors: Uint8Array<ArrayBuffer>,
  confidence: Uint8Array,
  origins: Uint8Array,
): DecodedPoints {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const [i, value] of places.entries()) {
    if (!Number.isFinite(value)) throw new ViewerError('BAD_CONTENT', 'a vertex is not finite');
    low[i % 3] = Math.min(low[i % 3]!, value);
    high[i % 3] = Math.max(high[i % 3]!, value);
  }
  const step = Math.max(...high.map((value, axis) => value - low[axis]!)) / 65535 || 1;
  const { length: count } = confidence;
  const positions = new Uint16Array(count * 4);
  for (let row = 0; row < count; row++) {
    for (let axis = 0; axis < 3; axis++)
      positions[row * 4 + axis] = Math.round((places[row * 3 + axis]! - low[axis]!) / step);
    positions[row * 4 + 3] = confidence[row]! | (origins[row]! << 8);
  }
  const matrix = [...IDENTITY];
  matrix[0] = matrix[5] = matrix[10] = step;
  matrix.splice(12, 3, ...low);
  const spacing = spacingOf(positions, count) * step;
  return { count, positions, colors, matrix, spacing, hasConfidence: true, hasProvenance: origins.some((value) => value > 0), ...boxesOf(positions, count, matrix) }; // prettier-ignore
}
