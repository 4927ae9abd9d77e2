// Decodes GLBs as three.js does: node decode.mjs OUT_FOLDER FILE.glb...
// For FILE number i it writes OUT/i.json (the primitives, their attributes and matrices) and OUT/i.bin
// (each attribute's values as float64, denormalised, in the order of the JSON; a mesh's triangles are
// the attribute "index").
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import draco3d from "draco3d";
import { MeshoptDecoder } from "meshoptimizer";
import { Matrix4 } from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

globalThis.self ??= globalThis;
globalThis.ProgressEvent ??= class ProgressEvent extends Event {};

function values(attribute) {
  const { count, itemSize } = attribute;
  const out = new Float64Array(count * itemSize);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < itemSize; k++) out[i * itemSize + k] = attribute.getComponent(i, k);
  }
  return out;
}

async function threePrimitives(bytes) {
  await MeshoptDecoder.ready;
  const loader = new GLTFLoader();
  loader.setMeshoptDecoder(MeshoptDecoder);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const gltf = await loader.parseAsync(buffer, "");
  gltf.scene.updateMatrixWorld(true);
  const primitives = [];
  gltf.scene.traverse((object) => {
    if (!object.isPoints && !object.isMesh) return;
    const attributes = Object.entries(object.geometry.attributes).map(([name, attribute]) => ({
      name,
      itemSize: attribute.itemSize,
      values: values(attribute),
    }));
    if (object.isMesh) {
      attributes.push({ name: "index", itemSize: 3, values: Float64Array.from(object.geometry.index.array) });
    }
    primitives.push({ matrix: object.matrixWorld.elements, attributes });
  });
  return primitives;
}

function dracoAttribute(draco, decoder, cloud, name, id, accessor) {
  const attribute = decoder.GetAttributeByUniqueId(cloud, id);
  const array = new draco.DracoFloat32Array();
  // Integers come out as they are stored; normalised ones are scaled here.
  decoder.GetAttributeFloatForAllPoints(cloud, attribute, array);
  const scale = accessor.normalized ? { 5121: 255, 5123: 65535 }[accessor.componentType] : 1;
  const itemSize = { SCALAR: 1, VEC3: 3 }[accessor.type];
  const out = new Float64Array(array.size());
  const isNormalized = attribute.normalized();
  for (let i = 0; i < out.length; i++) out[i] = array.GetValue(i) / (isNormalized ? 1 : scale);
  draco.destroy(array);
  return { name, itemSize, values: out };
}

function dracoTriangles(draco, decoder, mesh, accessor) {
  const out = new Float64Array(3 * mesh.num_faces());
  if (out.length !== accessor.count) throw new Error(`${out.length} indices; the file says ${accessor.count}`);
  const face = new draco.DracoInt32Array();
  for (let t = 0; t < mesh.num_faces(); t++) {
    decoder.GetFaceFromMesh(mesh, t, face);
    for (let k = 0; k < 3; k++) out[3 * t + k] = face.GetValue(k);
  }
  draco.destroy(face);
  return { name: "index", itemSize: 3, values: out };
}

async function dracoPrimitives(bytes, json, binary) {
  const draco = await draco3d.createDecoderModule();
  const node = json.nodes[0];
  const s = node.scale;
  const matrix = new Matrix4().makeScale(s[0], s[1], s[2]).setPosition(...node.translation).elements;
  return json.meshes[0].primitives.map((primitive) => {
    const extension = primitive.extensions.KHR_draco_mesh_compression;
    const view = json.bufferViews[extension.bufferView];
    const decoder = new draco.Decoder();
    const buffer = new draco.DecoderBuffer();
    buffer.Init(new Int8Array(binary.buffer, binary.byteOffset + view.byteOffset, view.byteLength), view.byteLength);
    const isMesh = primitive.mode === 4;
    const cloud = isMesh ? new draco.Mesh() : new draco.PointCloud();
    const status = isMesh
      ? decoder.DecodeBufferToMesh(buffer, cloud)
      : decoder.DecodeBufferToPointCloud(buffer, cloud);
    if (!status.ok()) throw new Error(status.error_msg());
    const attributes = Object.entries(extension.attributes).map(([name, id]) =>
      dracoAttribute(draco, decoder, cloud, name, id, json.accessors[primitive.attributes[name]]),
    );
    if (isMesh) attributes.push(dracoTriangles(draco, decoder, cloud, json.accessors[primitive.indices]));
    return { matrix, attributes };
  });
}

async function primitivesOf(path) {
  const bytes = await readFile(path);
  const jsonLength = bytes.readUInt32LE(12);
  const json = JSON.parse(bytes.subarray(20, 20 + jsonLength).toString());
  if (!json.extensionsRequired?.includes("KHR_draco_mesh_compression")) return threePrimitives(bytes);
  return dracoPrimitives(bytes, json, bytes.subarray(28 + jsonLength));
}

const [out, ...files] = process.argv.slice(2);
for (const [number, file] of files.entries()) {
  const primitives = await primitivesOf(file);
  const arrays = primitives.flatMap((primitive) => primitive.attributes.map((a) => a.values));
  const description = primitives.map(({ matrix, attributes }) => ({
    matrix: Array.from(matrix),
    attributes: attributes.map(({ name, itemSize, values: v }) => ({
      name: name.toLowerCase(),
      itemSize,
      count: v.length / itemSize,
    })),
  }));
  await writeFile(join(out, `${number}.json`), JSON.stringify(description));
  await writeFile(join(out, `${number}.bin`), Buffer.concat(arrays.map((a) => Buffer.from(a.buffer))));
}
