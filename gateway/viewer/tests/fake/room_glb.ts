/** A small room of coloured points as a plain GLB, for pages without a store. */

const SIDE = 90;

/** Three walls and a floor, 4 × 4 × 2.5 units; where filled, parts of it say so. */
export function roomGlb(filled = false): Uint8Array {
  const positions: number[] = [];
  const colors: number[] = [];
  const origins: number[] = [];
  const add = (x: number, y: number, z: number, color: readonly number[]): void => {
    positions.push(x, y, z);
    origins.push(filled ? originOf(x, y, z) : 0, 0, 0, 0);
    const light = 0.75 + 0.25 * Math.sin(x * 9) * Math.sin(y * 9 + z * 7);
    colors.push(...color.map((value) => Math.round(value * light)), 255);
  };
  for (let i = 0; i < SIDE; i++) {
    for (let j = 0; j < SIDE; j++) {
      const u = (i / (SIDE - 1)) * 4 - 2;
      const v = j / (SIDE - 1);
      add(u, 0, v * 4 - 2, [130, 100, 70]);
      add(u, v * 2.5, -2, [90, 110, 150]);
      add(-2, v * 2.5, u, [150, 120, 90]);
      add(2, v * 2.5, u, [100, 140, 110]);
    }
  }
  return glb(
    new Float32Array(positions),
    new Uint8Array(colors),
    filled ? new Uint8Array(origins) : new Uint8Array(0),
  );
}

/** A patch of each kind. */
function originOf(x: number, y: number, z: number): number {
  if (Math.hypot(x, y - 1.2) < 0.6 && z === -2) return 1;
  if (y === 0 && Math.hypot(x, z) < 0.9) return 2;
  if (x === 2 && y > 1.4) return 3;
  return 0;
}

function glb(positions: Float32Array, colors: Uint8Array, origins: Uint8Array): Uint8Array {
  const isFilled = origins.length > 0;
  const count = positions.length / 3;
  const json = JSON.stringify({
    asset: { version: '2.0' },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [
      {
        primitives: [
          { attributes: { POSITION: 0, COLOR_0: 1, ...(isFilled && { _PROVENANCE: 2 }) }, mode: 0 },
        ],
      },
    ],
    accessors: [
      {
        bufferView: 0,
        componentType: 5126,
        count,
        type: 'VEC3',
        min: [-2, 0, -2],
        max: [2, 2.5, 2],
      },
      { bufferView: 1, componentType: 5121, normalized: true, count, type: 'VEC4' },
      ...(isFilled ? [{ bufferView: 2, componentType: 5121, count, type: 'SCALAR' }] : []),
    ],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: positions.byteLength },
      { buffer: 0, byteOffset: positions.byteLength, byteLength: colors.byteLength },
      ...(isFilled
        ? [
            {
              buffer: 0,
              byteOffset: positions.byteLength + colors.byteLength,
              byteLength: origins.byteLength,
              byteStride: 4,
            },
          ]
        : []),
    ],
    buffers: [{ byteLength: positions.byteLength + colors.byteLength + origins.byteLength }],
  });
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 4) * 4));
  const binary = positions.byteLength + colors.byteLength + origins.byteLength;
  const out = new Uint8Array(12 + 8 + text.length + 8 + binary);
  const view = new DataView(out.buffer);
  [0x4654_6c67, 2, out.length, text.length, 0x4e4f_534a].forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  out.set(text, 20);
  view.setUint32(20 + text.length, binary, true);
  view.setUint32(24 + text.length, 0x004e_4942, true);
  out.set(new Uint8Array(positions.buffer), 28 + text.length);
  out.set(colors, 28 + text.length + positions.byteLength);
  out.set(origins, 28 + text.length + positions.byteLength + colors.byteLength);
  return out;
}
