/** `<epipar-viewer>`: a custom element that streams a scene of points from a tileset or a GLB. */
import type { ViewerError } from '../core/errors';
import type { Vec3 } from '../core/math';
import type { ViewerStats } from '../core/stats';
import type { ColorMode } from '../three/backend';
import {
  ATTRIBUTES,
  colorModeFrom,
  defaultPointBudget,
  numberFrom,
  rendererFrom,
} from './attributes';
import { makeBackend } from './backend_choice';
import { actOnKey, type KeyTarget } from './keyboard';
import { Stage, type StageOptions } from './stage';
import { fill, makeCanvas, type Parts } from './template';

export interface ViewerErrorDetail {
  readonly url: string;
  readonly reason: ViewerError['reason'];
  readonly message: string;
  readonly fatal: boolean;
}

export interface CameraDetail {
  readonly index: number;
  readonly name: string;
}

export interface ViewState {
  readonly position: Vec3;
  readonly target: Vec3;
}

/** Pixels that a click may move and still be a click. */
const CLICK_PX = 4;
/** More pixels per CSS pixel than this are not worth their time. */
const MOST_PIXEL_RATIO = 2;

export class EpiparViewer extends HTMLElement {
  static readonly observedAttributes = ATTRIBUTES;

  private readonly parts: Parts;
  private stage: Stage | undefined;
  private readonly sizes = new ResizeObserver(() => { this.fit(); }); // prettier-ignore
  private pressed = { x: 0, y: 0 };
  private isOpening = false;
  private lastStats: ViewerStats | undefined;

  constructor() {
    super();
    this.parts = fill(this.attachShadow({ mode: 'open', delegatesFocus: true }));
    this.listen();
  }

  /** Address of a tileset.json or a .glb; the empty string shows nothing. */
  get src(): string {
    return this.getAttribute('src') ?? '';
  }
  set src(value: string) {
    this.setAttribute('src', value);
  }

  /** Address of a transforms.json; the empty string for none. */
  get cameras(): string {
    return this.getAttribute('cameras') ?? '';
  }
  set cameras(value: string) {
    this.setAttribute('cameras', value);
  }

  /** Most points drawn at once: 10,000 to 20,000,000. */
  get pointBudget(): number {
    return numberFrom(this.getAttribute('point-budget'), 1e4, 2e7, defaultPointBudget());
  }
  set pointBudget(value: number) {
    this.setAttribute('point-budget', String(value));
  }

  get colorMode(): ColorMode {
    return colorModeFrom(this.getAttribute('color-mode'));
  }
  set colorMode(value: ColorMode) {
    this.setAttribute('color-mode', value);
  }

  /** Strength of eye-dome lighting: 0 (off) to 4, 1 by default. */
  get edl(): number {
    return numberFrom(this.getAttribute('edl'), 0, 4, 1);
  }
  set edl(value: number) {
    this.setAttribute('edl', String(value));
  }

  /** Factor on the size of points: 0.1 to 10. */
  get pointSize(): number {
    return numberFrom(this.getAttribute('point-size'), 0.1, 10, 1);
  }
  set pointSize(value: number) {
    this.setAttribute('point-size', String(value));
  }

  /** Points less sure than this are left out: 0 to 1. */
  get minConfidence(): number {
    return numberFrom(this.getAttribute('min-confidence'), 0, 1, 0);
  }
  set minConfidence(value: number) {
    this.setAttribute('min-confidence', String(value));
  }

  get showCameras(): boolean {
    return this.hasAttribute('show-cameras');
  }
  set showCameras(value: boolean) {
    this.toggleAttribute('show-cameras', value);
  }

  /** What draws; a change holds from the next time the element is put into a page. */
  get renderer(): 'webgl2' | 'webgpu' {
    return rendererFrom(this.getAttribute('renderer'));
  }
  set renderer(value: 'webgl2' | 'webgpu') {
    this.setAttribute('renderer', value);
  }

  get autorotate(): boolean {
    return this.hasAttribute('autorotate');
  }
  set autorotate(value: boolean) {
    this.toggleAttribute('autorotate', value);
  }

  /** Where the camera stands and what it turns about, scene coordinates (y up). */
  get viewState(): ViewState {
    const pose = this.stage?.pose;
    return { position: [...(pose?.eye ?? ZERO)], target: [...(pose?.target ?? ZERO)] };
  }
  /** Takes effect at once and fires nothing. */
  set viewState(value: ViewState) {
    const { position, target } = value;
    if (![...position, ...target].every(Number.isFinite)) return;
    this.stage?.standAt({ eye: position, target });
  }

  get stats(): ViewerStats {
    return this.stage?.stats ?? this.lastStats ?? NOTHING;
  }

  /** Return the view as a PNG over the element's background colour. */
  async screenshot(): Promise<Blob> {
    if (this.stage === undefined) throw new Error('the viewer is not in a page');
    const from = this.stage.drawNow();
    const picture = document.createElement('canvas');
    picture.width = from.width;
    picture.height = from.height;
    const context = picture.getContext('2d');
    if (context === null) throw new Error('the browser gives no 2D canvas');
    context.fillStyle = getComputedStyle(this).backgroundColor;
    context.fillRect(0, 0, picture.width, picture.height);
    context.drawImage(from, 0, 0);
    return new Promise((resolve, reject) => {
      picture.toBlob((blob) => {
        if (blob === null) reject(new Error('the picture could not be encoded'));
        else resolve(blob);
      }, 'image/png');
    });
  }

  resetView(): void {
    this.stage?.resetView();
  }

  /** Look from where a camera stood; indices wrap around. */
  flyToCamera(index: number): void {
    const camera = this.stage?.flyToCamera(index);
    if (camera !== undefined) this.say(`Camera ${this.stage!.currentCamera + 1}: ${camera.name}`);
  }

  /** Resolve when all that the view wants has come. */
  whenSettled(): Promise<ViewerStats> {
    return this.stage?.whenSettled() ?? Promise.resolve(this.stats);
  }

  connectedCallback(): void {
    const stage = new Stage(this.parts.canvas, this.options(), {
      onProgress: (stats) => { this.tell('epipar-progress', stats); },
      onFirstPixels: (stats) => { this.parts.message.textContent = ''; this.tell('epipar-first-pixels', stats); },
      onSettled: (stats) => { this.onSettled(stats); },
      onError: (url, error, fatal) => { this.onError(url, error, fatal); },
      onView: ({ eye, target }) => { this.tell('epipar-view', { position: eye, target }); },
      onCameraPicked: (index, name) => { this.onCameraPicked({ index, name }); },
    }); // prettier-ignore
    this.stage = stage;
    this.sizes.observe(this);
    this.open();
    stage
      .start((canvas, onLost, onRestored) => makeBackend(this.renderer, canvas, onLost, onRestored))
      .then(
        () => { this.fit(); },
        (thrown: unknown) => { this.onError('', thrown as ViewerError, true); },
      ); // prettier-ignore
  }

  disconnectedCallback(): void {
    this.sizes.disconnect();
    this.lastStats = this.stage?.stats;
    this.stage?.dispose();
    this.stage = undefined;
    const canvas = makeCanvas();
    this.parts.canvas.replaceWith(canvas);
    this.parts.canvas = canvas;
    this.listen();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || this.stage === undefined) return;
    if (name === 'src' || name === 'cameras') this.open();
    else this.stage.set(this.options());
  }

  private listen(): void {
    const { canvas } = this.parts;
    canvas.addEventListener('keydown', this.onKey);
    canvas.addEventListener('pointerdown', this.onPress);
    canvas.addEventListener('click', this.onClick);
    canvas.addEventListener('dblclick', this.onDoubleClick);
  }

  /** Open after the current task, so that `src` and `cameras` may be set one after the other. */
  private open(): void {
    if (this.isOpening) return;
    this.isOpening = true;
    this.parts.message.textContent = '';
    queueMicrotask(() => {
      this.isOpening = false;
      if (this.src !== '') this.say('Loading the scene');
      void this.stage?.open(this.src, this.cameras);
    });
  }

  private options(): StageOptions {
    const { pointBudget, colorMode, edl, pointSize, minConfidence, showCameras, autorotate } = this;
    this.parts.canvas.setAttribute('aria-label', this.getAttribute('label') ?? '3D scene');
    return { pointBudget, colorMode, edl, pointSize, minConfidence, showCameras, autorotate };
  }

  private fit(): void {
    const ratio = Math.min(devicePixelRatio, MOST_PIXEL_RATIO);
    const { clientWidth, clientHeight } = this;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.stage?.resize(Math.round(clientWidth * ratio), Math.round(clientHeight * ratio));
  }

  private onSettled(stats: ViewerStats): void {
    this.say(`${stats.pointsDrawn.toLocaleString('en')} points shown`);
    this.tell('epipar-settled', stats);
  }

  private onError(url: string, error: ViewerError, fatal: boolean): void {
    if (fatal) {
      this.parts.message.textContent = `This scene cannot be shown. ${error.message}`;
      this.say(this.parts.message.textContent);
    }
    const detail: ViewerErrorDetail = { url, reason: error.reason, message: error.message, fatal };
    this.tell('epipar-error', detail);
  }

  private onCameraPicked(detail: CameraDetail): void {
    this.say(`Camera ${detail.index + 1}: ${detail.name}`);
    this.tell('epipar-camera', detail);
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const { stage } = this;
    if (stage === undefined) return;
    const controls = stage.cameraControls;
    const target: KeyTarget = {
      turn: (right, up) => { controls.turn(right, up); },
      pan: (right, up) => { controls.pan(right, up); },
      zoom: (factor) => { controls.zoom(factor); },
      reset: () => { this.resetView(); this.say('View reset'); },
      toggleCameras: () => { this.showCameras = !this.showCameras; this.say(this.showCameras ? 'Cameras shown' : 'Cameras hidden'); },
      toggleConfidence: () => { this.colorMode = this.colorMode === 'rgb' ? 'confidence' : 'rgb'; this.say(this.colorMode === 'rgb' ? 'Colours' : 'Confidence'); },
      nextCamera: (step) => { this.flyToCamera(stage.currentCamera < 0 && step < 0 ? -1 : stage.currentCamera + step); },
    }; // prettier-ignore
    if (actOnKey(event, target)) event.preventDefault();
  };

  private readonly onPress = (event: PointerEvent): void => {
    this.pressed = { x: event.clientX, y: event.clientY };
  };

  private readonly onClick = (event: MouseEvent): void => {
    const { x, y } = this.pressed;
    if (Math.hypot(event.clientX - x, event.clientY - y) <= CLICK_PX)
      this.stage?.pickCameraAt(event.offsetX, event.offsetY);
  };

  private readonly onDoubleClick = (event: MouseEvent): void => {
    void this.stage?.pivotAt(event.offsetX, event.offsetY);
  };

  private say(words: string): void {
    this.parts.status.textContent = words;
  }

  private tell(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

const ZERO: Vec3 = [0, 0, 0];
const NOTHING: ViewerStats = {
  pointsDrawn: 0, pointsResident: 0, nodesDrawn: 0, nodesLoading: 0, bytesFetched: 0, frameMs: 0,
  firstPixelsMs: 0, frames: 0, renderer: 'webgl2', note: '',
}; // prettier-ignore

declare global {
  interface HTMLElementTagNameMap {
    'epipar-viewer': EpiparViewer;
  }
}
