/** How far the showing of a scene is: its figures, first pixels, and when it has settled. */
import type { ViewerStats } from '../core/stats';

export interface ProgressEvents {
  onProgress(stats: ViewerStats): void;
  onFirstPixels(stats: ViewerStats): void;
  onSettled(stats: ViewerStats): void;
}

const PROGRESS_MS = 100;

export class Progress {
  readonly counts = { pointsDrawn: 0, nodesDrawn: 0, frameMs: 0, firstPixelsMs: 0, frames: 0 };
  private openedAt = 0;
  private lastProgress = 0;
  private hasSettled = true;
  private waiters: ((stats: ViewerStats) => void)[] = [];

  /** @param stats tells all figures, those of `counts` among them */
  constructor(
    private readonly stats: () => ViewerStats,
    private readonly events: ProgressEvents,
  ) {}

  /** A scene is being opened. */
  begin(): void {
    Object.assign(this.counts, { pointsDrawn: 0, nodesDrawn: 0, firstPixelsMs: 0 });
    this.openedAt = performance.now();
    this.hasSettled = false;
  }

  /** There is nothing to wait for: the scene cannot be shown. */
  giveUp(): void {
    this.hasSettled = true;
  }

  get hasPixels(): boolean {
    return this.counts.firstPixelsMs > 0;
  }

  /** Resolve when all that the view wants is there. */
  whenSettled(): Promise<ViewerStats> {
    if (this.hasSettled) return Promise.resolve(this.stats());
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Tell, after a frame, what there is to tell. */
  report(hasPoints: boolean, isSettled: boolean): void {
    const now = performance.now();
    if (hasPoints && !this.hasPixels) {
      this.counts.firstPixelsMs = now - this.openedAt;
      this.events.onFirstPixels(this.stats());
    }
    if (!isSettled) {
      this.hasSettled = false;
      if (now - this.lastProgress < PROGRESS_MS) return;
      this.lastProgress = now;
      this.events.onProgress(this.stats());
    } else if (!this.hasSettled) {
      this.hasSettled = true;
      const stats = this.stats();
      this.events.onProgress(stats);
      this.events.onSettled(stats);
      for (const resolve of this.waiters.splice(0)) resolve(stats);
    }
  }
}
