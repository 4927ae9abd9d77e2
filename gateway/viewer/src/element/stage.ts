/** The scene on its canvas: camera and frames; draws only when something has changed. */
import type { SceneCamera } from '../core/cameras';
import { ViewerError, viewerErrorFrom } from '../core/errors';
import { initialPose, type Pose, poseFromCamera } from '../core/initial_view';
import { type Box, boxCenter, boxRadius, type Vec3 } from '../core/math';
import { MotionQuality } from '../core/motion_quality';
import type { View } from '../core/select';
import type { ViewerStats } from '../core/stats';
import type { Backend, GpuTile, Style, SurfaceMode } from '../three/backend';
import { SceneContent } from './content';
import { CameraControls } from './controls';
import { Lens } from './lens';
import { Progress, type ProgressEvents } from './progress';
import type { SurfaceLayer } from '../three/surface_layer';
import { SurfaceSlot } from './surface_slot';

export interface StageOptions extends Style {
  readonly pointBudget: number;
  readonly showCameras: boolean;
  readonly autorotate: boolean;
  readonly surface: SurfaceMode;
  readonly surfaceSrc: string;
  readonly surfaceLit: boolean;
}

export interface StageEvents extends ProgressEvents {
  onError(url: string, error: ViewerError, isFatal: boolean): void;
  onCameraPicked(index: number, name: string): void;
  /** The camera has moved, by hand or by a flight; at most once a frame. */
  onView(pose: Pose): void;
  /** A frame has been drawn: what lies over the canvas follows. */
  onFrame(): void;
}

export type BackendFactory = (
  canvas: HTMLCanvasElement,
  onLost: () => void,
  onRestored: () => void,
) => Promise<{ backend: Backend; note: string }>;

/** Pixels between neighbouring points below which finer tiles are not worth their points. */
const TARGET_ERROR = 1.4;
/** Points that are drawn in motion on the slowest machine. */
const LEAST_MOVING_POINTS = 100_000;
/** A camera that has not moved for so long rests. */
const REST_MS = 200;
/** Tiles that come within this time are shown together. */
const TOGETHER_MS = 120;
const EVERYWHERE: View = { frustum: new Float64Array(24), eye: [0, 0, 0], pixelsPerRadian: 1, near: 1 }; // prettier-ignore

export class Stage {
  readonly lens = new Lens();
  private readonly controls: CameraControls;
  private backend: Backend | undefined;
  private note = '';
  private isDisposed = false;
  private readonly quality = new MotionQuality();
  private coarseness = 1;
  private resting: ReturnType<typeof setTimeout> | undefined;
  private tellStarted: (backend: Backend) => void = () => undefined;
  private readonly content: SceneContent;
  private readonly surface = new SurfaceSlot({
    onChange: () => { this.invalidate(); },
    onError: (url, error) => { this.events.onError(url, error, false); },
  }); // prettier-ignore
  private markedCamera = -1;
  private region: Box | undefined;
  private frameRequest = 0;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private hasView = false;
  /** Whether a page has set the pose, which opening a scene then leaves alone. */
  private hasOwnPose = false;
  /** The poses that were reported and drawn last. */
  private lastPose = '';
  private drawnPose = '';
  private lastBulk: Box | undefined;
  private readonly progress: Progress;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private options: StageOptions,
    private readonly events: StageEvents,
  ) {
    this.progress = new Progress(() => this.stats, events);
    this.controls = new CameraControls(this.lens.camera, canvas, () => { this.invalidate(); }); // prettier-ignore
    const started = new Promise<Backend>((resolve) => { this.tellStarted = resolve; }); // prettier-ignore
    this.content = new SceneContent(started, {
      onChange: () => { this.invalidateSoon(); },
      onBulk: (bulk) => { this.takeBulk(bulk); },
      onError: (url, error) => { this.events.onError(url, error, false); },
    }); // prettier-ignore
  }

  /** Make the backend; throws ViewerError NO_GPU. */
  async start(factory: BackendFactory): Promise<void> {
    const made = await factory(this.canvas, () => { this.lose(); }, () => { this.restore(); }); // prettier-ignore
    if (this.isDisposed) {
      made.backend.dispose();
      return;
    }
    this.backend = made.backend;
    this.note = made.note;
    this.tellStarted(made.backend);
    this.invalidate();
  }

  get stats(): ViewerStats {
    const memory = (performance as { memory?: { usedJSHeapSize: number } }).memory;
    return {
      ...this.progress.counts,
      pointsResident: this.content.pointsResident,
      nodesLoading: this.content.nodesLoading,
      bytesFetched: this.content.bytesFetched + this.surface.bytesFetched,
      hasProvenance: this.content.hasProvenance,
      renderer: this.backend?.kind ?? 'webgl2',
      note: this.note,
      ...(memory === undefined ? {} : { heapBytes: memory.usedJSHeapSize }),
    };
  }

  /** Show another scene: a tileset.json or a GLB. Errors come as events. */
  async open(src: string, cameras: string): Promise<void> {
    this.markedCamera = -1;
    this.hasView = false;
    this.progress.begin();
    try {
      if (!(await this.content.open(src, cameras))) return;
    } catch (thrown) {
      this.progress.giveUp();
      this.events.onError(new URL(src, document.baseURI).href, viewerErrorFrom(thrown), true);
    }
    this.invalidate();
  }

  set(options: StageOptions): void {
    this.options = options;
    this.controls.autorotate = options.autorotate;
    this.invalidate();
  }

  resize(width: number, height: number): void {
    this.lens.resize(width, height);
    this.backend?.resize(Math.max(width, 1), Math.max(height, 1));
    // Setting a canvas's size empties it: draw before the page is shown.
    if (this.hasView) this.frame(performance.now());
  }

  resetView(isSudden = false): void {
    const { bulk, cameras } = this.content;
    if (bulk === undefined) return;
    const { fov, camera } = this.lens;
    this.controls.goTo(initialPose(bulk, cameras, fov, camera.aspect), isSudden);
  }

  /** Fly to where a camera stood; indices wrap around. */
  flyToCamera(index: number): SceneCamera | undefined {
    const { bulk, cameras } = this.content;
    if (cameras.length === 0 || bulk === undefined) return undefined;
    this.markedCamera = ((index % cameras.length) + cameras.length) % cameras.length;
    const camera = cameras[this.markedCamera]!;
    this.controls.goTo(poseFromCamera(camera, bulk));
    return camera;
  }

  get pose(): Pose {
    return {
      eye: this.lens.camera.position.toArray(),
      target: this.controls.target.toArray(),
    };
  }

  /** Stand at a pose at once; nothing is reported. */
  standAt(pose: Pose): void {
    this.hasOwnPose = true;
    this.controls.goTo(pose, true);
    this.lastPose = poseKey(this.pose);
  }

  get hasPoints(): boolean {
    return this.hasView && this.progress.hasPixels;
  }

  get currentCamera(): number {
    return this.markedCamera;
  }

  get cameraControls(): CameraControls {
    return this.controls;
  }

  /** Return the scene point under a pixel of the canvas (CSS pixels), if there is one. */
  async pointAt(x: number, y: number): Promise<Vec3 | undefined> {
    const scale = this.canvas.width / Math.max(this.canvas.clientWidth, 1);
    return this.backend?.pick(x * scale, y * scale, this.lens.camera);
  }

  /** Make the point under a pixel of the canvas (CSS pixels) the pivot. */
  async pivotAt(x: number, y: number): Promise<void> {
    const point = await this.pointAt(x, y);
    if (point !== undefined) this.controls.setPivot(point);
  }

  /** Mark the points in a box, scene axes; undefined for none. */
  mark(region: Box | undefined): void {
    this.region = region;
    this.invalidate();
  }

  /** Mark the camera under a pixel of the canvas (CSS pixels), if there is one. */
  pickCameraAt(x: number, y: number): void {
    if (!this.options.showCameras || this.backend === undefined) return;
    const u = (x / this.canvas.clientWidth) * 2 - 1;
    const v = 1 - (y / this.canvas.clientHeight) * 2;
    const index = this.content.frusta?.pick(u, v, this.lens.viewProjection(), this.pose.eye) ?? -1;
    if (index < 0) return;
    this.markedCamera = index;
    this.invalidate();
    this.events.onCameraPicked(index, this.content.cameras[index]!.name);
  }

  /** Draw now and hand out the canvas before it is emptied. */
  drawNow(): HTMLCanvasElement {
    this.frame(performance.now());
    return this.canvas;
  }

  whenSettled(): Promise<ViewerStats> {
    return this.progress.whenSettled();
  }

  /** Ask for a frame. */
  invalidate(): void {
    if (this.frameRequest !== 0) return;
    this.frameRequest = requestAnimationFrame((now) => {
      this.frameRequest = 0;
      this.frame(now);
    });
  }

  /** Ask for a frame because of a tile: several that come together share one. */
  private invalidateSoon(): void {
    if (!this.progress.hasPixels) this.invalidate();
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.invalidate();
    }, TOGETHER_MS);
  }

  dispose(): void {
    this.isDisposed = true;
    this.content.dispose();
    this.surface.dispose();
    clearTimeout(this.soon);
    clearTimeout(this.resting);
    cancelAnimationFrame(this.frameRequest);
    this.controls.dispose();
    this.backend?.dispose();
    this.backend = undefined;
  }

  private takeBulk(bulk: Box): void {
    this.controls.limit(boxRadius(bulk));
    // Another version of the same scene is seen from where the last one was.
    const isKnown = this.lastBulk !== undefined && areAlike(bulk, this.lastBulk);
    if (!isKnown && !this.hasOwnPose) this.resetView(true);
    this.lastBulk = bulk;
    this.lastPose = poseKey(this.pose);
    this.hasView = true;
    this.invalidate();
  }

  private frame(now: number): void {
    const { backend } = this;
    if (backend === undefined) return;
    const begin = performance.now();
    const needsMore = this.controls.update(now);
    this.adaptToMotion(begin, this.reportView());
    const surface = this.shownSurface(backend);
    const hidesPoints = surface !== undefined && this.options.surface === 'surface';
    const tiles = this.choose(hidesPoints);
    backend.render({
      camera: this.lens.camera,
      tiles: hidesPoints ? [] : tiles,
      surface,
      style: this.options,
      showCameras: this.options.showCameras,
      markedCamera: this.markedCamera,
      region: this.region,
    });
    this.events.onFrame();
    this.progress.counts.frames += 1;
    this.progress.counts.frameMs = performance.now() - begin;
    const isSettled = this.content.isSettled && !this.surface.isLoading;
    this.progress.report(tiles.length > 0, this.coarseness === 1 && isSettled);
    if (needsMore) this.invalidate();
  }

  /** Return the triangles to draw, once they are here; until then, and on WebGPU, points are shown. */
  private shownSurface(backend: Backend): SurfaceLayer['scene'] | undefined {
    const { surface, surfaceSrc, surfaceLit } = this.options;
    if (surface === 'points' || backend.kind !== 'webgl2') return undefined;
    this.surface.want(surfaceSrc);
    const { layer } = this.surface;
    if (layer !== undefined) layer.isLit = surfaceLit;
    return layer?.scene;
  }

  /** Select tiles for the camera as it stands, the nearest first; few of them if they are hidden. */
  private choose(isHidden: boolean): readonly GpuTile[] {
    const { lens, controls, progress } = this;
    lens.focus(this.content.box, lens.camera.position.distanceTo(controls.target));
    const view = this.hasView ? lens.view(this.canvas.height) : EVERYWHERE;
    // Until something is known of the scene, there is no view: the first content alone is wanted.
    const { tiles, points } = this.content.choose(view, {
      pointBudget: this.hasView && !isHidden ? this.budget() : 1,
      targetError: TARGET_ERROR * this.coarseness,
    });
    progress.counts.nodesDrawn = tiles.length;
    progress.counts.pointsDrawn = points;
    return tiles;
  }

  /** Fewer points in motion, as many times as the picture is coarser, but no fewer than make one. */
  private budget(): number {
    const { pointBudget } = this.options;
    return Math.max(pointBudget / this.coarseness ** 2, Math.min(pointBudget, LEAST_MOVING_POINTS));
  }

  /** Draw coarser in motion if frames are slow, and everything once the camera rests. */
  private adaptToMotion(now: number, isMoving: boolean): void {
    this.coarseness = this.quality.begin(now, isMoving);
    clearTimeout(this.resting);
    if (this.coarseness === 1 && !isMoving) return;
    this.resting = setTimeout(() => {
      this.quality.rest();
      if (this.coarseness > 1) this.invalidate();
    }, REST_MS);
  }

  /** Report the camera's place if it has changed; return whether it has. */
  private reportView(): boolean {
    const { pose } = this;
    const key = poseKey(pose);
    const isMoving = this.hasView && key !== this.drawnPose;
    this.drawnPose = key;
    if (!this.hasView || key === this.lastPose) return isMoving;
    this.lastPose = key;
    this.events.onView(pose);
    return isMoving;
  }

  private lose(): void {
    this.surface.clear();
    this.content.lose();
    this.events.onError('', new ViewerError('CONTEXT_LOST', 'the GPU was lost'), false);
  }

  private restore(): void {
    this.invalidate();
  }
}

function poseKey({ eye, target }: Pose): string {
  return [...eye, ...target].map((value) => value.toPrecision(7)).join();
}

/** Tell whether two boxes are nearly one, as those of a scene before and after completion. */
function areAlike(a: Box, b: Box): boolean {
  const [from, to] = [boxCenter(a), boxCenter(b)];
  const apart = Math.hypot(from[0] - to[0], from[1] - to[1], from[2] - to[2]);
  const ratio = boxRadius(a) / boxRadius(b);
  return apart < boxRadius(b) * 0.2 && ratio > 0.8 && ratio < 1.25;
}
