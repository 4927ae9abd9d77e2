import { describe, expect, it } from 'vitest';
import { DIMMED, PROVENANCES, provenanceTable } from '../../../src/core/provenance';

type Rgb = readonly [number, number, number];

const linear = (hex: string): Rgb =>
  [1, 3, 5].map((at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;

const apply = (m: readonly Rgb[], v: Rgb): Rgb =>
  m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) as unknown as Rgb;

/** Source: Machado, Oliveira and Fernandes, 2009; severity 1, linear RGB. */
const EYES: Readonly<Record<string, readonly Rgb[]>> = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}; // prettier-ignore

/** Source: Ottosson, Oklab, 2020. */
function oklab(rgb: Rgb): Rgb {
  const lms = apply(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
    rgb,
  ).map((value) => Math.cbrt(Math.max(value, 0))) as unknown as Rgb; // prettier-ignore
  return apply(
    [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]],
    lms,
  ); // prettier-ignore
}

const apart = (a: Rgb, b: Rgb): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

describe('PROVENANCES', () => {
  it('has every value once, in order, observed first', () => {
    expect(PROVENANCES.map(({ value }) => value)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(PROVENANCES[0]?.name).toBe('observed');
  });

  it.each(Object.keys(EYES))('has colours that %s eyes tell apart', (eyes) => {
    const seen = PROVENANCES.map(({ color }) => oklab(apply(EYES[eyes]!, linear(color))));
    for (const [i, a] of seen.entries())
      for (const b of seen.slice(0, i)) expect(apart(a, b)).toBeGreaterThan(0.12);
  });

  it('leaves what was observed darker than anything that was filled', () => {
    const light = (hex: string): number => oklab(linear(hex))[0];
    const brightest = oklab([1, 1, 1].map((v) => (v * DIMMED) ** 2.2) as unknown as Rgb)[0];
    for (const { color } of PROVENANCES.slice(1)) expect(light(color)).toBeGreaterThan(brightest);
  });
});

describe('provenanceTable', () => {
  it('gives filled points their colour, and leaves observed and unknown ones theirs', () => {
    const table = provenanceTable(256);
    expect([...table.slice(4, 8)]).toEqual([0x5f, 0xd4, 0xff, 255]);
    expect([table[3], table[6 * 4 + 3], table[255 * 4 + 3]]).toEqual([0, 0, 0]);
  });
});
