/** Dark, light, or as the device has it; kept in this browser. */

export type Theme = 'auto' | 'light' | 'dark';

const STORAGE_KEY = 'epipar.theme';
const DARK = '(prefers-color-scheme: dark)';

/** Fires "change" when the colours change. */
export class ThemeSetting extends EventTarget {
  #chosen: Theme = read();

  constructor(private readonly root: HTMLElement = document.documentElement) {
    super();
    window.matchMedia(DARK).addEventListener('change', () => {
      this.#apply();
    });
    this.#apply();
  }

  /** What is shown now. */
  get shown(): 'light' | 'dark' {
    if (this.#chosen !== 'auto') return this.#chosen;
    return window.matchMedia(DARK).matches ? 'dark' : 'light';
  }

  /** Show the other one; the device's own choice is not stored, so that it stays the device's. */
  toggle(): void {
    const next = this.shown === 'dark' ? 'light' : 'dark';
    const device = window.matchMedia(DARK).matches ? 'dark' : 'light';
    this.#chosen = next === device ? 'auto' : next;
    try {
      localStorage.setItem(STORAGE_KEY, this.#chosen);
    } catch {
      // A forbidden storage costs the choice after a reload, no more.
    }
    this.#apply();
  }

  #apply(): void {
    this.root.dataset.theme = this.shown;
    this.dispatchEvent(new Event('change'));
  }
}

function read(): Theme {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored === 'light' || stored === 'dark' ? stored : 'auto';
  } catch {
    return 'auto';
  }
}
