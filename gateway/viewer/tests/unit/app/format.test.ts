/** Numbers, sizes and times as people read them. */
import { describe, expect, it } from 'vitest';
import {
  age,
  bytes,
  compact,
  count,
  duration,
  idOf,
  percent,
  plural,
  remaining,
  sentence,
} from '../../../src/app/format';

describe('format', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [31_379_532, '31.4 MB'],
    [999_949, '1000 kB'],
    [2_000_000_000n, '2.0 GB'],
    [123_456_000_000_000, '123456 GB'],
  ])('says %s bytes as %s', (value, words) => {
    expect(bytes(value)).toBe(words);
  });

  it.each([
    [0.42, '0.4 s'],
    [9, '9 s'],
    [59.6, '1 min'],
    [75, '1 min 15 s'],
    [7500, '2 h 5 min'],
    [Number.NaN, '–'],
    [-1, '–'],
  ])('says %s seconds as %s', (value, words) => {
    expect(duration(value)).toBe(words);
  });

  it.each([
    [0, ''],
    [Number.NaN, ''],
    [4, 'a few seconds left'],
    [33, 'about 40 s left'],
    [200, 'about 3 min left'],
    [7200, 'about 2 h left'],
  ])('says that %s seconds are left as “%s”', (value, words) => {
    expect(remaining(value)).toBe(words);
  });

  it('says how long ago', () => {
    const now = Date.UTC(2026, 10, 23, 12);
    expect(age(now - 10_000, now)).toBe('just now');
    expect(age(now - 300_000, now)).toBe('5 minutes ago');
    expect(age(now - 26 * 3_600_000, now)).toBe('yesterday');
    expect(age(now - 40 * 86_400_000, now)).toMatch(/2026/);
    expect(age(Number.NaN, now)).toBe('');
  });

  it('never says 100 % before the end', () => {
    expect(percent(0.9999)).toBe('99 %');
    expect(percent(1)).toBe('100 %');
  });

  it('counts', () => {
    expect(count(12_345)).toBe('12,345');
    expect(compact(5_358_836)).toBe('5.4M');
    expect(plural(1, 'frame')).toBe('1 frame');
    expect(plural(2, 'frame')).toBe('2 frames');
  });

  it('makes sentences of names', () => {
    expect(sentence('cross_view-matching')).toBe('Cross view matching');
    expect(idOf('scenes/kitchen')).toBe('kitchen');
  });
});
