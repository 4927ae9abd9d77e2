/** Whether the server can be reached; while it cannot, a gentle ping finds out when it is back. */

export type ConnectionState = 'online' | 'offline' | 'away';

const FIRST_PING_MS = 1000;
const LONGEST_PING_MS = 15_000;

/**
 * Holds the state of the connection and fires "change" when it changes and "back" when it is back.
 */
export class Connection extends EventTarget {
  state: ConnectionState = navigator.onLine ? 'online' : 'offline';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wait = FIRST_PING_MS;

  constructor(private readonly ping: () => Promise<boolean> = pingHealth) {
    super();
    window.addEventListener('offline', () => {
      this.#become('offline');
    });
    window.addEventListener('online', () => {
      this.#become('away');
      this.#pingSoon(0);
    });
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.state === 'away') this.#pingSoon(0);
    });
  }

  /** A call came through. */
  reached(): void {
    this.#become('online');
  }

  /** A call did not reach the server. */
  lost(): void {
    this.#become(navigator.onLine ? 'away' : 'offline');
    if (this.#timer === undefined) this.#pingSoon(this.#wait);
  }

  #become(state: ConnectionState): void {
    if (state === 'online') {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#wait = FIRST_PING_MS;
    }
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event('change'));
    if (state === 'online') this.dispatchEvent(new Event('back'));
  }

  #pingSoon(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#pingNow(), wait * (0.5 + Math.random() / 2));
  }

  async #pingNow(): Promise<void> {
    if (await this.ping()) {
      this.#become('online');
      return;
    }
    this.#wait = Math.min(LONGEST_PING_MS, this.#wait * 2);
    this.#pingSoon(this.#wait);
  }
}

async function pingHealth(): Promise<boolean> {
  try {
    const answer = await fetch('healthz', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    return answer.ok;
  } catch {
    return false;
  }
}
