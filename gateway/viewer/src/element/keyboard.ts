/** What the keys do. */

export interface KeyTarget {
  turn(right: number, up: number): void;
  pan(right: number, up: number): void;
  zoom(factor: number): void;
  reset(): void;
  toggleCameras(): void;
  /** Show this, or plain colours again. */
  toggleColor(mode: 'confidence' | 'provenance'): void;
  nextCamera(step: number): void;
}

const ZOOM = 0.85;
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, 1],
  ArrowDown: [0, -1],
};

/** Act on a key; return whether it meant something here. */
export function actOnKey(
  event: Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>,
  target: KeyTarget,
): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const arrow = ARROWS[event.key];
  if (arrow !== undefined) {
    if (event.shiftKey) target.pan(...arrow);
    else target.turn(...arrow);
    return true;
  }
  const actions: Readonly<Record<string, () => void>> = {
    '+': () => { target.zoom(ZOOM); },
    '=': () => { target.zoom(ZOOM); },
    '-': () => { target.zoom(1 / ZOOM); },
    _: () => { target.zoom(1 / ZOOM); },
    r: () => { target.reset(); },
    c: () => { target.toggleCameras(); },
    h: () => { target.toggleColor('confidence'); },
    p: () => { target.toggleColor('provenance'); },
    f: () => { target.nextCamera(event.shiftKey ? -1 : 1); },
  }; // prettier-ignore
  const action = actions[event.key.toLowerCase()];
  action?.();
  return action !== undefined;
}
