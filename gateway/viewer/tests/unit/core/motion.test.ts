import { describe, expect, it } from 'vitest';
import { MOST_COARSE, MotionQuality } from '../../../src/core/motion_quality';

/** Move for some frames of a length; return the last factor. */
function move(quality: MotionQuality, frames: number, ms: number, from = 0): number {
  let factor = 1;
  for (let i = 0; i < frames; i++) factor = quality.begin(from + i * ms, true);
  return factor;
}

describe('MotionQuality', () => {
  it('grows coarser while frames are slow, up to a bound', () => {
    const quality = new MotionQuality();
    expect(move(quality, 2, 200)).toBeGreaterThan(1);
    expect(move(quality, 50, 200, 1e4)).toBe(MOST_COARSE);
  });

  it('draws everything at rest, and remembers for the next motion', () => {
    const quality = new MotionQuality();
    const moving = move(quality, 4, 200);
    // A single frame without motion is no rest yet: a hand may have paused.
    expect(quality.begin(700, false)).toBe(moving);
    quality.rest();
    expect(quality.begin(1000, false)).toBe(1);
    expect(quality.begin(9000, true)).toBe(moving);
  });

  it('stays fine on a fast machine and becomes fine again', () => {
    const quality = new MotionQuality();
    expect(move(quality, 50, 16)).toBe(1);
    move(quality, 50, 200, 1e4);
    expect(move(quality, 50, 16, 1e5)).toBe(1);
  });
});
