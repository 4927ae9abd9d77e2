/** A GLB of points to arrays for the GPU: decompression, colour and confidence, bulk and spacing. */
import { MeshoptDecoder } from 'three/addons/libs/meshopt_decoder.module.js';
import { ViewerError } from '../core/errors';
import { type Accessor, MOST_POINTS, type PointGlb, type Primitive, readGlb } from './glb';
import { boxesOf, spacingOf } from './measure';
import type { DecodedPoints } from './points';
import { srgbFromLinear16 } from './srgb';

type Numbers = Float32Array | Uint16Array | Uint8Array | Int16Array | Int8Array;

/** One attribute: `stride` numbers from point to point. */
interface Column {
  readonly values: Numbers;
  readonly stride: number;
  readonly size: number;
}

const COMPONENTS = new Map<number, { new (b: ArrayBuffer, o: number, n: number): Numbers; BYTES_PER_ELEMENT: number }>([
  [5120, Int8Array], [5121, Uint8Array], [5122, Int16Array], [5123, Uint16Array], [5126, Float32Array],
]); // prettier-ignore
const SIZES: Readonly<Record<string, number>> = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

/** Decode all primitives of a GLB into one cloud; throws as readGlb does. */
export async function decodePoints(buffer: ArrayBuffer): Promise<DecodedPoints> {
  await MeshoptDecoder.ready;
  const file = readGlb(buffer);
  const columns = file.primitives.map((primitive) => new Columns(file, primitive));
  const count = columns.reduce((sum, column) => sum + column.count, 0);
  if (count === 0) throw new ViewerError('BAD_CONTENT', 'the GLB has no points');
  if (count > MOST_POINTS)
    throw new ViewerError('LIMIT', `the GLB has ${count} points; at most ${MOST_POINTS}`);
  const positions = new Uint16Array(count * 4);
  const colors = new Uint8Array(count * 4);
  const { scale, offset } = placeOnGrid(columns, positions);
  let first = 0;
  for (const column of columns) {
    writeColors(column.get('COLOR_0'), column.count, colors, first * 4);
    writeExtras(column, positions, first * 4);
    first += column.count;
  }
  const m = file.matrix;
  const matrix = [
    ...m.slice(0, 4).map((v) => v * scale), ...m.slice(4, 8).map((v) => v * scale),
    ...m.slice(8, 12).map((v) => v * scale),
    ...[0, 1, 2].map((r) => m[r]! * offset[0]! + m[4 + r]! * offset[1]! + m[8 + r]! * offset[2]! + m[12 + r]!), 1,
  ]; // prettier-ignore
  const hasConfidence = columns.every((column) => column.get('_CONFIDENCE') !== undefined);
  const hasProvenance = columns.some((column) => column.get('_PROVENANCE') !== undefined);
  const unit = Math.hypot(matrix[0]!, matrix[1]!, matrix[2]!);
  const spacing = spacingOf(positions, count) * unit;
  return { count, positions, colors, matrix, spacing, hasConfidence, hasProvenance, ...boxesOf(positions, count, matrix) }; // prettier-ignore
}

/** The attributes of one primitive, decoded when asked for. */
class Columns {
  readonly count: number;
  private readonly cache = new Map<string, Column>();

  constructor(
    private readonly file: PointGlb,
    private readonly primitive: Primitive,
  ) {
    this.count = this.accessor('POSITION')?.count ?? 0;
  }

  get(name: string): Column | undefined {
    const accessor = this.accessor(name);
    if (accessor === undefined) return undefined;
    if (accessor.count !== this.count)
      throw broken(`${name} has ${accessor.count} rows, POSITION ${this.count}`);
    let column = this.cache.get(name);
    if (column === undefined) this.cache.set(name, (column = this.decode(name, accessor)));
    return column;
  }

  private accessor(name: string): Accessor | undefined {
    const index = this.primitive.attributes.get(name);
    return index === undefined ? undefined : this.file.accessors[index];
  }

  private decode(name: string, accessor: Accessor): Column {
    const kind = COMPONENTS.get(accessor.componentType);
    const size = SIZES[accessor.type];
    if (kind === undefined || size === undefined)
      throw broken(`${name} is of type ${accessor.componentType} ${accessor.type}`);
    if (accessor.bufferView === undefined) throw broken(`${name} has no bufferView`);
    const view = this.file.views[accessor.bufferView]!;
    const bytes = this.bytes(accessor.bufferView);
    const width = kind.BYTES_PER_ELEMENT;
    const stride = view.byteStride || size * width;
    const start = accessor.byteOffset ?? 0;
    const end = start + (accessor.count - 1) * stride + size * width;
    if (end > bytes.byteLength) throw broken(`${name} ends at byte ${end} of ${bytes.byteLength}`);
    if (stride % width !== 0 || start % width !== 0)
      throw broken(`${name} has an offset of ${start} and a stride of ${stride} bytes`);
    // Typed arrays want their offset aligned; a copy always is.
    const aligned = (bytes.byteOffset + start) % width === 0 ? bytes : bytes.slice();
    const values = new kind(
      aligned.buffer,
      aligned.byteOffset + start,
      Math.floor((aligned.byteLength - start) / width),
    );
    return { values, stride: stride / width, size };
  }

  private bytes(index: number): Uint8Array<ArrayBuffer> {
    const { byteOffset, byteLength, meshopt } = this.file.views[index]!;
    if (meshopt === undefined)
      return this.file.binary.subarray(byteOffset, byteOffset + byteLength);
    const { count, byteStride, mode, filter } = meshopt;
    const target = new Uint8Array(count * byteStride);
    const from = meshopt.byteOffset;
    const source = this.file.binary.subarray(from, from + meshopt.byteLength);
    try {
      MeshoptDecoder.decodeGltfBuffer(target, count, byteStride, source, mode, filter);
    } catch (thrown) {
      throw broken(`a meshopt view does not decode: ${(thrown as Error).message}`);
    }
    return target;
  }
}

/** Write positions as 16-bit integers; return how to get the file's numbers back. */
function placeOnGrid(
  columns: readonly Columns[],
  out: Uint16Array,
): { scale: number; offset: number[] } {
  const all = columns.map((column) => column.get('POSITION')!);
  if (all.some((column) => column.size !== 3)) throw broken('POSITION is not of type VEC3');
  const isExact = all.every(({ values }) => values instanceof Uint16Array || values instanceof Uint8Array); // prettier-ignore
  const { low, extent } = isExact ? { low: [0, 0, 0], extent: 65535 } : rangeOf(columns, all);
  // Floats that are whole numbers, as exports without a codec write them, stay exact.
  const scale = extent <= 65535 && all.every((c) => isWhole(c)) ? 1 : extent / 65535 || 1;
  let at = 0;
  for (const [i, { values, stride }] of all.entries())
    for (let row = 0, from = 0; row < columns[i]!.count; row++, from += stride, at += 4) {
      out[at] = Math.round((values[from]! - low[0]!) / scale);
      out[at + 1] = Math.round((values[from + 1]! - low[1]!) / scale);
      out[at + 2] = Math.round((values[from + 2]! - low[2]!) / scale);
    }
  return { scale, offset: low };
}

function isWhole({ values }: Column): boolean {
  return !(values instanceof Float32Array) || values.every((value) => Number.isInteger(value));
}

function rangeOf(columns: readonly Columns[], all: readonly Column[]) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const [i, { values, stride }] of all.entries())
    for (let row = 0; row < columns[i]!.count; row++)
      for (let axis = 0; axis < 3; axis++) {
        const value = values[row * stride + axis]!;
        if (!Number.isFinite(value)) throw broken('POSITION holds a number that is not finite');
        low[axis] = Math.min(low[axis]!, value);
        high[axis] = Math.max(high[axis]!, value);
      }
  return { low, extent: Math.max(...high.map((value, axis) => value - low[axis]!)) };
}

function writeColors(column: Column | undefined, count: number, out: Uint8Array, at: number): void {
  if (column === undefined) {
    out.fill(200, at, at + count * 4);
    return;
  }
  const table = srgbFromLinear16();
  const { values, stride } = column;
  // All kinds become 16 bits, which the table knows.
  const factor = values instanceof Float32Array ? 65535 : values instanceof Uint16Array ? 1 : 257;
  for (let row = 0, from = 0; row < count; row++, from += stride, at += 4) {
    for (let c = 0; c < 3; c++) {
      const value = values[from + c]! * factor;
      out[at + c] = table[value <= 0 ? 0 : value >= 65535 ? 65535 : Math.round(value)]!;
    }
    out[at + 3] = 255;
  }
}

function writeExtras(columns: Columns, out: Uint16Array, at: number): void {
  const confidence = columns.get('_CONFIDENCE');
  const provenance = columns.get('_PROVENANCE');
  const factor = confidence?.values instanceof Float32Array ? 255 : 1;
  for (let row = 0; row < columns.count; row++, at += 4) {
    const sure = confidence === undefined ? 255 : confidence.values[row * confidence.stride]!;
    const origin = provenance === undefined ? 0 : provenance.values[row * provenance.stride]!;
    out[at + 3] = (Math.round(sure * factor) & 255) | ((origin & 255) << 8);
  }
}

function broken(what: string): ViewerError {
  return new ViewerError('BAD_CONTENT', `the GLB is broken: ${what}`);
}
