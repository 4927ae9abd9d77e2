/** Linear colour values to sRGB bytes, by a table that is made once. */
let table: Uint8Array | undefined;

/** Return (65536,): the nearest sRGB byte of each 16-bit linear value (IEC 61966-2-1). */
export function srgbFromLinear16(): Uint8Array {
  table ??= Uint8Array.from({ length: 65536 }, (_, i) => {
    const linear = i / 65535;
    const srgb = linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055;
    return Math.round(srgb * 255);
  });
  return table;
}
