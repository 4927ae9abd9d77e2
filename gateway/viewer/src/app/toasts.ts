/** Short notes that come and go, read aloud by screen readers. */
import type { Problem } from './api/errors';

export interface Toast {
  readonly id: number;
  readonly kind: 'info' | 'warn' | 'error';
  readonly title: string;
  readonly text: string;
  readonly href?: string;
}

const LIFE_MS = 8000;
const MOST = 4;

/** Fires "change". Errors stay until they are closed. */
export class Toasts extends EventTarget {
  items: readonly Toast[] = [];
  #nextId = 1;

  /** Say that something has happened; `href` leads to it. */
  say(title: string, href?: string): void {
    const id = this.#add({ kind: 'info', title, text: '', ...(href !== undefined && { href }) });
    setTimeout(() => {
      this.close(id);
    }, LIFE_MS);
  }

  /** Say that something is not whole, though the rest goes on. */
  warn(title: string): void {
    const id = this.#add({ kind: 'warn', title, text: '' });
    setTimeout(() => {
      this.close(id);
    }, LIFE_MS);
  }

  /** Say what went wrong, and the way out. */
  fail(problem: Problem, what = ''): void {
    const title = what === '' ? problem.title : `${what}: ${lowerFirst(problem.title)}`;
    this.#add({ kind: 'error', title, text: `${problem.message} ${problem.wayOut}`.trim() });
  }

  close(id: number): void {
    this.items = this.items.filter((toast) => toast.id !== id);
    this.dispatchEvent(new Event('change'));
  }

  #add(toast: Omit<Toast, 'id'>): number {
    const same = ({ title, text }: Toast): boolean => title === toast.title && text === toast.text;
    const id = this.#nextId++;
    this.items = [...this.items.filter((each) => !same(each)), { ...toast, id }].slice(-MOST);
    this.dispatchEvent(new Event('change'));
    return id;
  }
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
