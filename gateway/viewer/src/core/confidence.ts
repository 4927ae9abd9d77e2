/** The colours of the confidence heat map: dark violet is unsure, yellow is sure. */

/**
 * Nine evenly spaced colours, sRGB; between them colours are mixed linearly.
 *
 * Source: viridis by van der Walt and Smith (CC0): perceptually uniform, readable by the colour
 * blind and in greys.
 */
export const CONFIDENCE_COLORS: readonly string[] = [
  '#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725',
]; // prettier-ignore

/** Return RGBA bytes of the map, `count` colours from confidence 0 to 1. */
export function confidenceTable(count: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(count * 4);
  for (let i = 0; i < count; i++) {
    const place = (i / (count - 1)) * (CONFIDENCE_COLORS.length - 1);
    const left = Math.min(Math.floor(place), CONFIDENCE_COLORS.length - 2);
    const a = channels(CONFIDENCE_COLORS[left]!);
    const b = channels(CONFIDENCE_COLORS[left + 1]!);
    for (let c = 0; c < 3; c++)
      out[i * 4 + c] = Math.round(a[c]! + (b[c]! - a[c]!) * (place - left));
    out[i * 4 + 3] = 255;
  }
  return out;
}

/** What a page needs to draw a legend beside the viewer. */
export const CONFIDENCE_LEGEND = {
  title: 'Confidence',
  low: 'unsure',
  high: 'sure',
  colors: CONFIDENCE_COLORS,
  css: `linear-gradient(to right, ${CONFIDENCE_COLORS.join(', ')})`,
} as const;

function channels(hex: string): number[] {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
