/** Speed and time left of a transfer, smoothed over the last seconds. */

const WINDOW_MS = 6000;

export class Meter {
  readonly #samples: { at: number; bytes: number }[] = [];

  /** Note how many bytes have gone at a time in milliseconds. */
  note(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples.length = 0;
    this.#samples.push({ at, bytes });
    while ((this.#samples[0]?.at ?? at) < at - WINDOW_MS) this.#samples.shift();
  }

  /** Forget the past, for example after a pause. */
  reset(): void {
    this.#samples.length = 0;
  }

  /** Bytes a second; 0 before there is enough to tell. */
  get speed(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < 400) return 0;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }

  /** Seconds until a size is reached; 0 before there is enough to tell. */
  remaining(sizeBytes: number): number {
    const last = this.#samples.at(-1);
    return last && this.speed > 0 ? (sizeBytes - last.bytes) / this.speed : 0;
  }
}
