/** The element's shadow tree: a canvas that takes the keys, and words for those who cannot see it. */

const STYLE = `
:host { display: block; position: relative; overflow: hidden; min-height: 8rem; contain: content;
  background: var(--epipar-background, #14171c); color: var(--epipar-color, #e8eaee); }
:host([hidden]) { display: none; }
canvas { display: block; position: absolute; inset: 0; width: 100%; height: 100%; outline: none;
  touch-action: none; cursor: grab; }
canvas:active { cursor: grabbing; }
canvas:focus-visible { outline: 3px solid var(--epipar-focus, #4da3ff); outline-offset: -3px; }
.message { position: absolute; inset: 0; display: grid; place-items: center; padding: 1rem;
  text-align: center; font: 1rem/1.5 system-ui, sans-serif; pointer-events: none; }
.message:empty { display: none; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
`;

const KEYS = `Arrow keys turn, with Shift they move sideways; plus and minus zoom; R resets the view,
C shows cameras, F goes to the next camera, H shows confidence, P what was filled.`;

export interface Parts {
  canvas: HTMLCanvasElement;
  /** Words over the canvas, such as a fatal error. */
  readonly message: HTMLElement;
  /** What screen readers announce. */
  readonly status: HTMLElement;
}

/** Make the canvas; a new one each time, since a context that was given back stays lost. */
export function makeCanvas(): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.tabIndex = 0;
  canvas.setAttribute('part', 'canvas');
  canvas.setAttribute('role', 'application');
  canvas.setAttribute('aria-label', '3D scene');
  canvas.setAttribute('aria-describedby', 'keys');
  return canvas;
}

export function fill(root: ShadowRoot): Parts {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  const canvas = makeCanvas();
  const keys = text('p', 'unseen', KEYS);
  keys.id = 'keys';
  const message = text('div', 'message', '');
  message.setAttribute('part', 'message');
  const status = text('p', 'unseen', '');
  status.setAttribute('role', 'status');
  root.append(canvas, keys, message, status);
  return { canvas, message, status };
}

function text(tag: string, className: string, content: string): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}
