/** What the box tool shows over the canvas: lines, a body to hold, a handle on each side. */
import type { BoxDrawing, Place } from '../core/box_drawing';
import { SIDES } from '../core/region';

const STYLE = `
.region { position: absolute; inset: 0; pointer-events: none; outline: none; overflow: hidden; }
.region svg { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; }
.region .body { fill: rgb(255 92 66 / 7%); pointer-events: auto; cursor: move; touch-action: none; }
.region.held .body { fill: rgb(255 92 66 / 13%); }
.region path { fill: none; stroke-linecap: round; stroke-linejoin: round; }
.region .under { stroke: rgb(10 12 16 / 70%); stroke-width: 4.5px; }
.region .front { stroke: #fff; stroke-width: 2px; }
.region .back { stroke: rgb(255 255 255 / 75%); stroke-width: 1.25px; stroke-dasharray: 3 5; }
.region:focus-visible .front { stroke: var(--epipar-focus, #8fc1ff); stroke-width: 2.5px; }
.handle { position: absolute; left: 0; top: 0; width: 44px; height: 44px; margin: -22px 0 0 -22px;
  pointer-events: auto; touch-action: none; cursor: grab; border-radius: 50%; }
.held .handle { cursor: grabbing; }
.handle::after { content: ''; position: absolute; inset: 13px; border-radius: 50%; background: #fff;
  border: 3px solid #d8381f; box-shadow: 0 1px 5px rgb(0 0 0 / 60%); }
.handle:hover::after { inset: 11px; }
.handle.far { z-index: 0; } .handle.near { z-index: 1; }
.handle.far::after { inset: 15px; background: #ffd9d2; border-width: 2px; opacity: 0.85; }
.handle[hidden] { display: none; }
@media (pointer: coarse) { .handle::after { inset: 10px; } .handle.far::after { inset: 13px; } }
`;

export interface RegionParts {
  /** Takes the keys. */
  readonly layer: HTMLElement;
  readonly body: SVGElement;
  /** In the order of SIDES. */
  readonly handles: readonly HTMLElement[];
  /** Put everything where a drawing has it; handles too near to the middle are hidden. */
  show(drawing: BoxDrawing, leastHandlePx: number): void;
}

/** Make the parts and put them over the canvas; `keys` says what the keys do. */
export function makeRegionParts(root: ShadowRoot, keys: string): RegionParts {
  const layer = document.createElement('div');
  layer.className = 'region';
  layer.tabIndex = 0;
  layer.setAttribute('part', 'region');
  layer.setAttribute('role', 'application');
  layer.setAttribute('aria-label', 'Box');
  layer.setAttribute('aria-describedby', 'region-keys');
  const style = document.createElement('style');
  style.textContent = STYLE;
  const help = document.createElement('p');
  help.id = 'region-keys';
  help.className = 'unseen';
  help.textContent = keys;
  const svg = svgPart('svg');
  svg.setAttribute('aria-hidden', 'true');
  const body = svgPart('polygon', 'body');
  const [back, under, front] = ['back', 'under', 'front'].map((name) => svgPart('path', name));
  svg.append(back!, body, under!, front!);
  const handles = SIDES.map(() => {
    const handle = document.createElement('div');
    handle.className = 'handle';
    handle.setAttribute('aria-hidden', 'true');
    return handle;
  });
  layer.append(style, help, svg, ...handles);
  root.append(layer);
  return {
    layer,
    body,
    handles,
    show(drawing, leastHandlePx) {
      body.setAttribute('points', drawing.outline.map(([x, y]) => `${px(x)},${px(y)}`).join(' '));
      back!.setAttribute('d', lines(drawing.back));
      under!.setAttribute('d', lines(drawing.front));
      front!.setAttribute('d', lines(drawing.front));
      for (const [index, handle] of handles.entries())
        showHandle(handle, index, drawing, leastHandlePx);
    },
  };
}

function showHandle(
  handle: HTMLElement,
  index: number,
  drawing: BoxDrawing,
  leastPx: number,
): void {
  const place = drawing.middles[index];
  const opposite = drawing.middles[index ^ 1];
  // Where both sides of an axis lie at one place, it points at the eye: nothing to pull along.
  const reach = place && opposite ? Math.hypot(place[0] - opposite[0], place[1] - opposite[1]) : 0;
  handle.hidden = place === undefined || reach < 2 * leastPx;
  if (place === undefined) return;
  handle.style.transform = `translate(${px(place[0])}px, ${px(place[1])}px)`;
  handle.classList.toggle('near', drawing.facing[index]);
  handle.classList.toggle('far', !drawing.facing[index]!);
}

function lines(all: readonly (readonly [Place, Place])[]): string {
  return all.map(([a, b]) => `M${px(a[0])} ${px(a[1])}L${px(b[0])} ${px(b[1])}`).join('');
}

/** Far outside of the picture, numbers need not be exact, but must stay numbers that SVG takes. */
const px = (value: number): string => Math.min(Math.max(value, -1e5), 1e5).toFixed(1);

function svgPart(tag: string, className?: string): SVGElement {
  const part = document.createElementNS('http://www.w3.org/2000/svg', tag);
  if (className !== undefined) part.setAttribute('class', className);
  return part;
}
