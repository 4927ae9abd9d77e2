/** Asks again and again while a component is shown and the page is looked at. */
import type { ReactiveController, ReactiveControllerHost } from 'lit';

export class Poller implements ReactiveController {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #again = false;
  #connected = false;

  /**
   * Args:
   *   host: the component.
   *   ask: one round; its failures are its own.
   *   pauseMs: how long to wait after a round.
   */
  constructor(
    host: ReactiveControllerHost,
    private readonly ask: () => Promise<void>,
    private readonly pauseMs: () => number,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.#connected = true;
    document.addEventListener('visibilitychange', this.#onVisible);
    this.now();
  }

  hostDisconnected(): void {
    this.#connected = false;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#onVisible);
  }

  /** Ask at once, or again after the round that is under way. */
  now(): void {
    if (this.#running) this.#again = true;
    else void this.#round();
  }

  readonly #onVisible = (): void => {
    if (!document.hidden) this.now();
  };

  async #round(): Promise<void> {
    clearTimeout(this.#timer);
    this.#running = true;
    this.#again = false;
    await this.ask();
    this.#running = false;
    this.#pause();
  }

  #pause(): void {
    if (!this.#connected) return;
    if (this.#again) {
      void this.#round();
      return;
    }
    if (document.hidden) return; // Coming back into view asks at once.
    this.#timer = setTimeout(() => {
      this.now();
    }, this.pauseMs());
  }
}
