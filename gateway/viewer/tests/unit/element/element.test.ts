import { describe, expect, it } from 'vitest';
import { numberFrom } from '../../../src/element/attributes';
import { actOnKey, type KeyTarget } from '../../../src/element/keyboard';

describe('numberFrom', () => {
  it.each([
    [null, 5], ['', 5], ['no', 5], ['3', 3], ['-7', 0], ['1e9', 10],
  ])('reads %s as %d between 0 and 10, 5 by default', (text, wanted) => {
    expect(numberFrom(text, 0, 10, 5)).toBe(wanted);
  }); // prettier-ignore
});

describe('actOnKey', () => {
  const press = (key: string, more: object = {}) => {
    const calls: unknown[] = [];
    const target = new Proxy({} as KeyTarget, {
      get:
        (_, name) =>
        (...values: unknown[]) =>
          calls.push([name, ...values]),
    });
    const keys = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more };
    return { isMeant: actOnKey({ key, ...keys }, target), calls };
  };

  it('turns with arrows and moves with Shift', () => {
    expect(press('ArrowLeft').calls).toEqual([['turn', -1, 0]]);
    expect(press('ArrowUp', { shiftKey: true }).calls).toEqual([['pan', 0, 1]]);
  });

  it.each(['r', 'R', 'c', 'h', 'f', 'p', '+', '-'])('knows %s', (key) => {
    const { isMeant, calls } = press(key);
    expect(isMeant).toBe(true);
    expect(calls).toHaveLength(1);
  });

  it('leaves other keys and the browser’s own to the page', () => {
    for (const { isMeant, calls } of [press('Tab'), press('x'), press('r', { ctrlKey: true })]) {
      expect(isMeant).toBe(false);
      expect(calls).toEqual([]);
    }
  });
});
