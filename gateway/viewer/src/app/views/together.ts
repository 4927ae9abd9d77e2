/** Keeps two viewers at one camera. */

/** A viewer that tells and takes its camera. */
interface Movable extends HTMLElement {
  viewState: unknown;
  readonly stats: { readonly firstPixelsMs: number };
}

const isMovable = (element: HTMLElement): element is Movable => 'viewState' in element;

/**
 * Let each of two viewers follow the other.
 *
 * Returns:
 *   The end of it; undefined where the viewers do not tell their camera.
 */
export function keepTogether(one: HTMLElement, other: HTMLElement): (() => void) | undefined {
  if (!isMovable(one) || !isMovable(other)) return undefined;
  // Before its first points a viewer stands nowhere, and whoever followed it there saw nothing.
  const copy = (from: Movable, to: Movable) => (): void => {
    if (from.stats.firstPixelsMs > 0) to.viewState = from.viewState;
  };
  const toOther = copy(one, other);
  const toOne = copy(other, one);
  // Each frames its own scene when it opens: the one that shows the whole decides.
  const events: readonly (readonly [Movable, string, () => void])[] = [
    [one, 'epipar-view', toOther],
    [one, 'epipar-first-pixels', toOther],
    [other, 'epipar-view', toOne],
    [other, 'epipar-first-pixels', toOther],
  ];
  for (const [element, type, act] of events) element.addEventListener(type, act);
  return () => {
    for (const [element, type, act] of events) element.removeEventListener(type, act);
  };
}
