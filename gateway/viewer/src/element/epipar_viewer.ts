/** `<epipar-viewer>`: a custom element that streams a scene of points from a tileset or a GLB. */
import type { ViewerError } from '../core/errors';
import type { Vec3 } from '../core/math';
import type { Region } from '../core/region';
import type { ViewerStats } from '../core/stats';
import type { ColorMode } from '../three/backend';
import { makeBackend } from './backend_choice';
import { actOnKey, type KeyTarget } from './keyboard';
import { ReflectedElement } from './reflected';
import { RegionSlot, type RegionSlotHost } from './region_slot';
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

/** What a key has changed in how the scene is shown. */
export interface DisplayDetail {
  readonly colorMode: ColorMode;
  readonly showCameras: boolean;
}

export interface ViewState {
  readonly position: Vec3;
  readonly target: Vec3;
}

/** Pixels that a click may move and still be a click. */
const CLICK_PX = 4;
/** More pixels per CSS pixel than this are not worth their time. */
const MOST_PIXEL_RATIO = 2;

export class EpiparViewer extends ReflectedElement {
  private readonly parts: Parts;
  private stage: Stage | undefined;
  private readonly sizes = new ResizeObserver(() => { this.fit(); }); // prettier-ignore
  private pressed = { x: 0, y: 0 };
  private isOpening = false;
  private lastStats: ViewerStats | undefined;
  private readonly box = new RegionSlot(this.regionHost());

  constructor() {
    super();
    this.parts = fill(this.attachShadow({ mode: 'open', delegatesFocus: true }));
    this.listen();
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

  /** The box of the region tool, in the scene folder's coordinates; undefined where there is none. */
  get region(): Region | undefined {
    return this.box.region;
  }
  /** Takes effect at once, or when the tool is shown; what is no box is left out. */
  set region(value: Region | undefined) {
    this.box.region = value;
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
    // A change of `src` takes effect after the current task.
    return Promise.resolve().then(() => this.stage?.whenSettled() ?? this.stats);
  }

  connectedCallback(): void {
    const stage = new Stage(this.parts.canvas, this.options(), {
      onProgress: (stats) => { this.tell('epipar-progress', stats); },
      onFirstPixels: (stats) => { this.parts.message.textContent = ''; this.tell('epipar-first-pixels', stats); },
      onSettled: (stats) => { this.onSettled(stats); },
      onError: (url, error, fatal) => { this.onError(url, error, fatal); },
      onView: ({ eye, target }) => { this.tell('epipar-view', { position: eye, target }); },
      onCameraPicked: (index, name) => { this.onCameraPicked({ index, name }); },
      onFrame: () => { this.box.onFrame(); },
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
    this.box.end();
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
    else {
      if (name === 'region-tool' && after === null) this.box.end();
      this.stage.set(this.options());
    }
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
    const { surface, surfaceSrc, surfaceLit } = this;
    this.parts.canvas.setAttribute('aria-label', this.getAttribute('label') ?? '3D scene');
    return { pointBudget, colorMode, edl, pointSize, minConfidence, showCameras, autorotate, surface, surfaceSrc, surfaceLit }; // prettier-ignore
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
      toggleCameras: () => { this.showCameras = !this.showCameras; this.onDisplay(this.showCameras ? 'Cameras shown' : 'Cameras hidden'); },
      toggleColor: (mode) => { this.colorMode = this.colorMode === mode ? 'rgb' : mode; this.onDisplay(MODE_WORDS[this.colorMode]); },
      nextCamera: (step) => { this.flyToCamera(stage.currentCamera < 0 && step < 0 ? -1 : stage.currentCamera + step); },
    }; // prettier-ignore
    if (actOnKey(event, target)) event.preventDefault();
  };

  /** A key has changed how the scene is shown. */
  private onDisplay(words: string): void {
    this.say(words);
    const { colorMode, showCameras } = this;
    this.tell('epipar-display', { colorMode, showCameras } satisfies DisplayDetail);
  }

  private regionHost(): RegionSlotHost {
    return {
      parts: () => ({ root: this.shadowRoot!, canvas: this.parts.canvas }),
      stage: () => this.stage,
      isWanted: () => this.regionTool,
      say: (words) => { this.say(words); },
      onRegion: (region) => { this.tell('epipar-region', region); },
      onRegionEnd: () => { this.regionTool = false; this.say('Box closed'); this.tell('epipar-region-end', null); },
    }; // prettier-ignore
  }

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

const MODE_WORDS: Readonly<Record<ColorMode, string>> = {
  rgb: 'Colours',
  confidence: 'Confidence',
  provenance: 'What was filled',
};
const ZERO: Vec3 = [0, 0, 0];
const NOTHING: ViewerStats = {
  pointsDrawn: 0, pointsResident: 0, nodesDrawn: 0, nodesLoading: 0, bytesFetched: 0, frameMs: 0,
  firstPixelsMs: 0, frames: 0, hasProvenance: false, renderer: 'webgl2', note: '',
}; // prettier-ignore

declare global {
  interface HTMLElementTagNameMap {
    'epipar-viewer': EpiparViewer;
  }
}
