/** Where a point comes from: what a camera saw, and how the rest was filled; the colours of each. */

export interface Provenance {
  /** As clouds have it in `_PROVENANCE`. */
  readonly value: number;
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** sRGB; of what was observed, the colour that stands for it in a legend. */
  readonly color: string;
}

/**
 * All kinds, by value.
 *
 * The colours lie far apart for all eyes, the colour-blind among them (0.12 and more in Oklab; a test
 * holds it), and all stand out from dimmed surroundings.
 */
export const PROVENANCES: readonly Provenance[] = [
  { value: 0, name: 'observed', title: 'Seen by the camera', color: '#6b6f76' },
  { value: 1, name: 'reprojected', title: 'From another view', color: '#5fd4ff' },
  { value: 2, name: 'plane', title: 'Surface continued', color: '#f0a000' },
  { value: 3, name: 'free', title: 'Shape guessed', color: '#2fae96' },
  { value: 4, name: 'painted', title: 'Painted', color: '#cc4fe0' },
  { value: 5, name: 'diffusion', title: 'Painted by a model', color: '#fff36b' },
];

/** What a page needs to draw a legend beside the viewer. */
export const PROVENANCE_LEGEND = {
  title: 'Where points come from',
  kinds: PROVENANCES,
} as const;

/** Share of a filled point's brightness that its own colour decides: shapes stay readable. */
export const OWN_LIGHT = 0.45;
/** Brightness left to what was observed. */
export const DIMMED = 0.48;

/** Return RGBA bytes, `count` colours by value; what is unknown, and observed, has an alpha of 0. */
export function provenanceTable(count: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(count * 4);
  for (const { value, color } of PROVENANCES) {
    if (value === 0) continue;
    for (let c = 0; c < 3; c++)
      out[value * 4 + c] = parseInt(color.slice(1 + 2 * c, 3 + 2 * c), 16);
    out[value * 4 + 3] = 255;
  }
  return out;
}
