/**
 * The container and the JSON of a GLB, as far as point clouds need them, with every bound checked.
 *
 * Source: glTF 2.0; EXT_ and KHR_meshopt_compression; KHR_mesh_quantization.
 */
import { ViewerError } from '../core/errors';

export interface Accessor {
  readonly bufferView?: number;
  readonly byteOffset?: number;
  readonly componentType: number;
  readonly count: number;
  readonly type: string;
  readonly normalized?: boolean;
}

export interface MeshoptView {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly byteStride: number;
  readonly count: number;
  readonly mode: string;
  readonly filter: string;
}

export interface BufferView {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly byteStride: number;
  readonly meshopt?: MeshoptView;
}

export interface Primitive {
  readonly attributes: ReadonlyMap<string, number>;
}

export interface PointGlb {
  readonly binary: Uint8Array<ArrayBuffer>;
  readonly primitives: readonly Primitive[];
  readonly accessors: readonly Accessor[];
  readonly views: readonly BufferView[];
  /** Column-major, of the one node. */
  readonly matrix: number[];
}

type Json = Readonly<Record<string, unknown>>;

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;
const KNOWN_EXTENSIONS = new Set([
  'EXT_meshopt_compression',
  'KHR_meshopt_compression',
  'KHR_mesh_quantization',
  'KHR_materials_unlit',
]);
const MESHOPT_NAMES = ['KHR_meshopt_compression', 'EXT_meshopt_compression'];
const POINTS = 0;
export const MOST_POINTS = 60_000_000;

/**
 * Read a GLB of one node with primitives of points.
 *
 * @throws ViewerError BAD_CONTENT for broken files; UNSUPPORTED for sound ones that need a general
 *   reader (meshes, several nodes, Draco)
 */
export function readGlb(buffer: ArrayBuffer): PointGlb {
  const { json, binary } = chunks(buffer);
  const required = list(json.extensionsRequired ?? [], 'extensionsRequired');
  for (const [i, value] of required.entries()) {
    const name = word(value, `extensionsRequired[${i}]`);
    if (!KNOWN_EXTENSIONS.has(name)) throw unsupported(`needs the extension ${name}`);
  }

  const node = onlyNode(json);
  const meshes = list(json.meshes, 'meshes');
  const mesh = object(meshes[whole(node.mesh, 'nodes[0].mesh', meshes.length - 1)], 'mesh');
  const views = list(json.bufferViews, 'bufferViews').map((view, i) =>
    bufferView(object(view, `bufferViews[${i}]`), `bufferViews[${i}]`, binary.byteLength),
  );
  const accessors = list(json.accessors, 'accessors').map((a, i) => accessor(a, i, views.length));
  const primitives = list(mesh.primitives, 'primitives').map((p, i) =>
    primitive(object(p, `primitives[${i}]`), `primitives[${i}]`, accessors.length),
  );
  return { binary, primitives, accessors, views, matrix: matrix(node) };
}

function chunks(buffer: ArrayBuffer): { json: Json; binary: Uint8Array<ArrayBuffer> } {
  const view = new DataView(buffer);
  if (buffer.byteLength < 20 || view.getUint32(0, true) !== MAGIC) throw bad('it is not a GLB');
  if (view.getUint32(4, true) !== 2) throw bad(`its version is ${view.getUint32(4, true)}, not 2`);
  const total = view.getUint32(8, true);
  if (total > buffer.byteLength)
    throw bad(`it is cut short: ${buffer.byteLength} of ${total} bytes`);
  const jsonLength = view.getUint32(12, true);
  if (view.getUint32(16, true) !== JSON_CHUNK || 20 + jsonLength > total)
    throw bad('its first chunk is not JSON within the file');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, jsonLength)));
  } catch {
    throw bad('its first chunk is not JSON');
  }
  const at = 20 + jsonLength;
  let binary = new Uint8Array(0);
  if (at + 8 <= total) {
    const length = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) !== BINARY_CHUNK || at + 8 + length > total)
      throw bad('its second chunk is not binary within the file');
    binary = new Uint8Array(buffer, at + 8, length);
  }
  return { json: object(json, 'the JSON'), binary };
}

function onlyNode(json: Json): Json {
  const scenes = list(json.scenes, 'scenes');
  const scene = object(scenes[whole(json.scene ?? 0, 'scene', scenes.length - 1)], 'scene');
  const roots = list(scene.nodes, 'scene.nodes');
  const nodes = list(json.nodes, 'nodes');
  if (roots.length !== 1 || nodes.length !== 1) throw unsupported('has several nodes');
  const node = object(nodes[whole(roots[0], 'scene.nodes[0]', 0)], 'nodes[0]');
  if (node.mesh === undefined) throw unsupported('has no mesh');
  if (node.rotation !== undefined) throw unsupported('has a turned node');
  return node;
}

function matrix(node: Json): number[] {
  if (node.matrix !== undefined) return numbers(node.matrix, 16, 'nodes[0].matrix');
  const t = numbers(node.translation ?? [0, 0, 0], 3, 'nodes[0].translation');
  const s = numbers(node.scale ?? [1, 1, 1], 3, 'nodes[0].scale');
  return [s[0]!, 0, 0, 0, 0, s[1]!, 0, 0, 0, 0, s[2]!, 0, t[0]!, t[1]!, t[2]!, 1];
}

function primitive(json: Json, path: string, accessors: number): Primitive {
  if ((json.mode ?? 4) !== POINTS) throw unsupported('holds more than points');
  if (json.extensions !== undefined) throw unsupported('has primitives with extensions');
  const entries = Object.entries(object(json.attributes, `${path}.attributes`));
  const attributes = new Map(
    entries.map(([name, at]) => [name, whole(at, `${path}.attributes.${name}`, accessors - 1)]),
  );
  if (!attributes.has('POSITION')) throw bad(`${path} has no POSITION`);
  return { attributes };
}

function accessor(value: unknown, index: number, views: number): Accessor {
  const path = `accessors[${index}]`;
  const json = object(value, path);
  if (json.sparse !== undefined) throw unsupported('has sparse accessors');
  return {
    ...(json.bufferView === undefined
      ? {}
      : { bufferView: whole(json.bufferView, `${path}.bufferView`, views - 1) }),
    byteOffset: whole(json.byteOffset ?? 0, `${path}.byteOffset`, 2 ** 32),
    componentType: whole(json.componentType, `${path}.componentType`, 5126),
    count: whole(json.count, `${path}.count`, MOST_POINTS),
    type: word(json.type, `${path}.type`),
    normalized: json.normalized === true,
  };
}

function bufferView(json: Json, path: string, size: number): BufferView {
  const extensions = json.extensions === undefined ? {} : object(json.extensions, path);
  const name = MESHOPT_NAMES.find((candidate) => extensions[candidate] !== undefined);
  const coded = name === undefined ? undefined : object(extensions[name], `${path}.${name}`);
  const range = {
    byteOffset: whole(json.byteOffset ?? 0, `${path}.byteOffset`, 2 ** 32),
    byteLength: whole(json.byteLength, `${path}.byteLength`, 2 ** 32),
    byteStride: whole(json.byteStride ?? 0, `${path}.byteStride`, 256),
  };
  if (coded === undefined) {
    if (json.buffer !== 0) throw unsupported('keeps bytes outside the file');
    inside(range, size, path);
    return range;
  }
  if (coded.buffer !== 0) throw unsupported('keeps bytes outside the file');
  const meshopt = {
    byteOffset: whole(coded.byteOffset ?? 0, `${path}.byteOffset`, 2 ** 32),
    byteLength: whole(coded.byteLength, `${path}.byteLength`, 2 ** 32),
    byteStride: whole(coded.byteStride, `${path}.byteStride`, 256),
    count: whole(coded.count, `${path}.count`, MOST_POINTS),
    mode: word(coded.mode, `${path}.mode`),
    filter: word(coded.filter ?? 'NONE', `${path}.filter`),
  };
  inside(meshopt, size, path);
  return { ...range, meshopt };
}

function inside(range: { byteOffset: number; byteLength: number }, size: number, path: string) {
  const end = range.byteOffset + range.byteLength;
  if (end > size) throw bad(`${path} ends at byte ${end} of ${size}`);
}

function object(value: unknown, path: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(`${path} is not an object`);
  return value as Json;
}

function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(`${path} is not a list`);
  return value;
}

function numbers(value: unknown, count: number, path: string): number[] {
  if (!Array.isArray(value) || value.length !== count || !value.every(Number.isFinite))
    throw bad(`${path} is not ${count} finite numbers`);
  return value as number[];
}

function word(value: unknown, path: string): string {
  if (typeof value !== 'string')
    throw bad(`${path} is ${JSON.stringify(value)}; it must be a word`);
  return value;
}

function whole(value: unknown, path: string, most: number): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > most)
    throw bad(`${path} is ${JSON.stringify(value)}; it must be a whole number from 0 to ${most}`);
  return value as number;
}

function bad(what: string): ViewerError {
  return new ViewerError('BAD_CONTENT', `the GLB is broken: ${what}`);
}

function unsupported(what: string): ViewerError {
  return new ViewerError('UNSUPPORTED', `the GLB ${what}`);
}
