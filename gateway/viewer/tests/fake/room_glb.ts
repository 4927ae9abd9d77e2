/** A small room of coloured points as a plain GLB, for pages without a store. */

const SIDE = 90;

/** Three walls and a floor, 4 × 4 × 2.5 units. */
export function roomGlb(): Uint8Array {
  const positions: number[] = [];
  const colors: number[] = [];
  const add = (x: number, y: number, z: number, color: readonly number[]): void => {
    positions.push(x, y, z);
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
  return glb(new Float32Array(positions), new Uint8Array(colors));
}

function glb(positions: Float32Array, colors: Uint8Array): Uint8Array {
  const count = positions.length / 3;
  const json = JSON.stringify({
    asset: { version: '2.0' },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0, COLOR_0: 1 }, mode: 0 }] }],
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
    ],
    bufferViews: [
      { buffer: 0, byteOffset: 0, byteLength: positions.byteLength },
      { buffer: 0, byteOffset: positions.byteLength, byteLength: colors.byteLength },
    ],
    buffers: [{ byteLength: positions.byteLength + colors.byteLength }],
  });
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 4) * 4));
  const binary = positions.byteLength + colors.byteLength;
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
  return out;
}
