/**
 * How much coarser to draw while the camera moves: on slow machines a smooth turn is worth more than
 * fine points; once it rests, everything is drawn.
 */

/** A moving frame that takes longer makes the next ones coarser. */
const SLOW_MS = 50;
/** One that takes less makes them finer. */
const FAST_MS = 22;
const COARSER = 1.3;
const FINER = 0.92;
/** Never more than so many times the resting distance between points. */
export const MOST_COARSE = 3;

export class MotionQuality {
  private learned = 1;
  private lastMoving: number | undefined;
  private isAtRest = true;

  /**
   * Take note of a frame that begins.
   *
   * @param now milliseconds
   * @param hasMoved whether the camera has moved since the last frame
   * @returns the factor on the wanted distance between points, 1 at rest
   */
  begin(now: number, hasMoved: boolean): number {
    if (!hasMoved) {
      if (this.isAtRest) this.lastMoving = undefined;
      return this.isAtRest ? 1 : this.learned;
    }
    if (this.lastMoving !== undefined) {
      const took = now - this.lastMoving;
      if (took > SLOW_MS) this.learned = Math.min(this.learned * COARSER, MOST_COARSE);
      else if (took < FAST_MS) this.learned = Math.max(this.learned * FINER, 1);
    }
    this.lastMoving = now;
    this.isAtRest = false;
    return this.learned;
  }

  /** Some time has passed without a frame: unless the next one has moved, the camera rests. */
  rest(): void {
    this.isAtRest = true;
  }
}
