/** The scene on its canvas: content, camera and frames; draws only when something has changed. */
import { PerspectiveCamera } from 'three';
import {
  IDENTITY,
  type Box,
  boxCenter,
  boxRadius,
  boxMoved,
  distanceToBox,
  type Mat4,
  type Vec3,
} from '../core/math';
import { type SceneCamera, parseCameras } from '../core/cameras';
import { isAbort, ViewerError, viewerErrorFrom } from '../core/errors';
import { drawnSpacing } from '../core/drawn_spacing';
import { FrustaShape } from '../core/frusta';
import { frustumFromMatrix } from '../core/frustum';
import { initialPose, type Pose, poseFromCamera } from '../core/initial_view';
import { LIMITS } from '../core/limits';
import { MotionQuality } from '../core/motion_quality';
import type { OctreeNode } from '../core/octree';
import type { View } from '../core/select';
import type { ViewerStats } from '../core/stats';
import { TileStream } from '../core/tile_stream';
import type { Backend, GpuTile, Style } from '../three/backend';
import { DecodePool, NeedsGeneralReader } from '../worker/pool';
import type { DecodedPoints } from '../worker/points';
import { CameraControls } from './controls';
import { Fetcher } from './fetcher';

export interface StageOptions extends Style {
  readonly pointBudget: number;
  readonly showCameras: boolean;
  readonly autorotate: boolean;
}

export interface StageEvents {
  onProgress(stats: ViewerStats): void;
  onFirstPixels(stats: ViewerStats): void;
  onSettled(stats: ViewerStats): void;
  onError(url: string, error: ViewerError, isFatal: boolean): void;
  onCameraPicked(index: number, name: string): void;
  /** The camera has moved, by hand or by a flight; at most once a frame. */
  onView(pose: Pose): void;
}

export type BackendFactory = (
  canvas: HTMLCanvasElement,
  onLost: () => void,
  onRestored: () => void,
) => Promise<{ backend: Backend; note: string }>;

/** Pixels between neighbouring points below which finer tiles are not worth their points. */
const TARGET_ERROR = 1.4;
/** Length of a camera's frustum in radii of the bulk. */
const FRUSTUM_SIZE = 0.03;
const FIELD_OF_VIEW = 55;
/** Points that are drawn in motion on the slowest machine. */
const LEAST_MOVING_POINTS = 100_000;
/** A camera that has not moved for so long rests. */
const REST_MS = 200;
const PROGRESS_MS = 100;
/** Tiles that come within this time are shown together. */
const TOGETHER_MS = 120;
const EVERYWHERE: View = { frustum: new Float64Array(24), eye: [0, 0, 0], pixelsPerRadian: 1, near: 1 }; // prettier-ignore
/** Factor on the spacing of points that keep no least distance, as in leaves: they leave larger holes. */
const LEAF_SPACING = 1.2;

export class Stage {
  readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.1, 100);
  private readonly controls: CameraControls;
  private readonly fetcher = new Fetcher();
  private readonly pool = new DecodePool();
  private backend: Backend | undefined;
  private note = '';
  private isDisposed = false;
  private readonly quality = new MotionQuality();
  private coarseness = 1;
  private resting: ReturnType<typeof setTimeout> | undefined;
  private tellStarted: (backend: Backend) => void = () => undefined;
  /** Resolves when there is something to upload to; never if there is no GPU. */
  private readonly started = new Promise<Backend>((resolve) => { this.tellStarted = resolve; }); // prettier-ignore
  private stream: TileStream<GpuTile> | undefined;
  private single: GpuTile | undefined;
  private bulk: Box | undefined;
  private cameras: readonly SceneCamera[] = [];
  private camerasReady: Promise<void> = Promise.resolve();
  private markedCamera = -1;
  private frusta: FrustaShape | undefined;
  private opening = new AbortController();
  private frameRequest = 0;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private openedAt = 0;
  private lastProgress = 0;
  private hasSettled = true;
  private hasView = false;
  /** Whether a page has set the pose, which opening a scene then leaves alone. */
  private hasOwnPose = false;
  /** The poses that were reported and drawn last. */
  private lastPose = '';
  private drawnPose = '';
  private lastBulk: Box | undefined;
  private settledWaiters: ((stats: ViewerStats) => void)[] = [];
  private counts = { pointsDrawn: 0, nodesDrawn: 0, frameMs: 0, firstPixelsMs: 0, frames: 0 };

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private options: StageOptions,
    private readonly events: StageEvents,
  ) {
    this.controls = new CameraControls(this.camera, canvas, () => { this.invalidate(); }); // prettier-ignore
    this.pool.warm();
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
      ...this.counts,
      pointsResident: this.stream?.pointsResident ?? this.single?.points ?? 0,
      nodesLoading: this.stream?.nodesLoading ?? 0,
      bytesFetched: this.fetcher.bytes,
      renderer: this.backend?.kind ?? 'webgl2',
      note: this.note,
      ...(memory === undefined ? {} : { heapBytes: memory.usedJSHeapSize }),
    };
  }

  /** Show another scene: a tileset.json or a GLB. Errors come as events. */
  async open(src: string, cameras: string): Promise<void> {
    this.close();
    this.openedAt = performance.now();
    this.hasSettled = false;
    const { signal } = this.opening;
    this.camerasReady = this.openCameras(cameras, signal);
    if (src === '') return;
    const url = new URL(src, document.baseURI).href;
    try {
      if (new URL(url).pathname.endsWith('.glb')) await this.openGlb(url, signal);
      else await this.openTileset(url, signal);
    } catch (thrown) {
      if (isAbort(thrown) || signal.aborted) return;
      this.hasSettled = true;
      this.events.onError(url, viewerErrorFrom(thrown), true);
    }
    this.invalidate();
  }

  set(options: StageOptions): void {
    this.options = options;
    this.controls.autorotate = options.autorotate;
    this.invalidate();
  }

  resize(width: number, height: number): void {
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.updateProjectionMatrix();
    this.backend?.resize(Math.max(width, 1), Math.max(height, 1));
    // Setting a canvas's size empties it: draw before the page is shown.
    if (this.hasView) this.frame(performance.now());
  }

  resetView(isSudden = false): void {
    if (this.bulk === undefined) return;
    const fov = (this.camera.fov * Math.PI) / 180;
    this.goTo(initialPose(this.bulk, this.cameras, fov, this.camera.aspect), isSudden);
  }

  /** Fly to where a camera stood; indices wrap around. */
  flyToCamera(index: number): SceneCamera | undefined {
    if (this.cameras.length === 0 || this.bulk === undefined) return undefined;
    this.markedCamera = ((index % this.cameras.length) + this.cameras.length) % this.cameras.length;
    const camera = this.cameras[this.markedCamera]!;
    this.goTo(poseFromCamera(camera, this.bulk));
    return camera;
  }

  get pose(): Pose {
    return {
      eye: this.camera.position.toArray(),
      target: this.controls.target.toArray(),
    };
  }

  /** Stand at a pose at once; nothing is reported. */
  standAt(pose: Pose): void {
    this.hasOwnPose = true;
    this.controls.goTo(pose, true);
    this.lastPose = poseKey(this.pose);
  }

  get currentCamera(): number {
    return this.markedCamera;
  }

  get cameraControls(): CameraControls {
    return this.controls;
  }

  /** Make the point under a pixel of the canvas (CSS pixels) the pivot. */
  async pivotAt(x: number, y: number): Promise<void> {
    const scale = this.canvas.width / Math.max(this.canvas.clientWidth, 1);
    const point = await this.backend?.pick(x * scale, y * scale, this.camera);
    if (point !== undefined) this.controls.setPivot(point);
  }

  /** Mark the camera under a pixel of the canvas (CSS pixels), if there is one. */
  pickCameraAt(x: number, y: number): void {
    if (!this.options.showCameras || this.backend === undefined) return;
    const u = (x / this.canvas.clientWidth) * 2 - 1;
    const v = 1 - (y / this.canvas.clientHeight) * 2;
    const index = this.frusta?.pick(u, v, this.viewProjection(), this.pose.eye) ?? -1;
    if (index < 0) return;
    this.markedCamera = index;
    this.invalidate();
    this.events.onCameraPicked(index, this.cameras[index]!.name);
  }

  /** Draw now and hand out the canvas before it is emptied. */
  drawNow(): HTMLCanvasElement {
    this.frame(performance.now());
    return this.canvas;
  }

  whenSettled(): Promise<ViewerStats> {
    if (this.hasSettled) return Promise.resolve(this.stats);
    return new Promise((resolve) => this.settledWaiters.push(resolve));
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
    if (this.counts.firstPixelsMs === 0) this.invalidate();
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.invalidate();
    }, TOGETHER_MS);
  }

  dispose(): void {
    this.isDisposed = true;
    this.close();
    clearTimeout(this.soon);
    clearTimeout(this.resting);
    cancelAnimationFrame(this.frameRequest);
    this.controls.dispose();
    this.pool.dispose();
    this.fetcher.dispose();
    this.backend?.dispose();
    this.backend = undefined;
  }

  private close(): void {
    this.opening.abort();
    this.opening = new AbortController();
    this.stream?.dispose();
    this.single?.dispose();
    this.stream = this.single = this.bulk = undefined;
    this.cameras = [];
    this.markedCamera = -1;
    this.hasView = false;
    this.fetcher.bytes = 0;
    this.counts = { ...this.counts, pointsDrawn: 0, nodesDrawn: 0, firstPixelsMs: 0 };
  }

  private async openTileset(url: string, signal: AbortSignal): Promise<void> {
    const source = {
      text: (at: string, by: AbortSignal) => this.fetcher.text(at, LIMITS.jsonBytes, by),
      content: (node: OctreeNode<GpuTile>, at: string, by: AbortSignal) => this.tile(node, at, by),
    };
    const stream = new TileStream<GpuTile>(source, {
      onChange: () => { this.invalidateSoon(); }, // prettier-ignore
      onTileError: (at, error) => { this.events.onError(at, error, false); }, // prettier-ignore
    });
    await stream.open(url, signal);
    this.stream = stream;
  }

  private async openGlb(url: string, signal: AbortSignal): Promise<void> {
    const points = await this.decoded(url, signal);
    const backend = await this.started;
    await this.camerasReady;
    signal.throwIfAborted();
    this.single = backend.upload(points, IDENTITY, points.spacing);
    this.takeBulk(points.bulk);
  }

  private async openCameras(src: string, signal: AbortSignal): Promise<void> {
    if (src === '') return;
    const url = new URL(src, document.baseURI).href;
    try {
      this.cameras = parseCameras(await this.fetcher.text(url, LIMITS.jsonBytes, signal));
    } catch (thrown) {
      if (!isAbort(thrown)) this.events.onError(url, viewerErrorFrom(thrown), false);
    }
  }

  private async tile(
    node: OctreeNode<GpuTile>,
    url: string,
    signal: AbortSignal,
  ): Promise<GpuTile> {
    const points = await this.decoded(url, signal);
    if (node.parent === undefined || this.bulk === undefined) await this.camerasReady;
    const backend = await this.started;
    signal.throwIfAborted();
    const most = node.parent?.error ?? Infinity;
    const spacing = node.error > 0 ? node.error : Math.min(points.spacing * LEAF_SPACING, most);
    const tile = backend.upload(points, node.transform, spacing);
    if (this.bulk === undefined) this.takeBulk(boxMoved(node.transform, points.bulk));
    return tile;
  }

  private async decoded(url: string, signal: AbortSignal): Promise<DecodedPoints> {
    const buffer = await this.fetcher.buffer(url, LIMITS.contentBytes, signal);
    try {
      return await this.pool.decode(buffer);
    } catch (thrown) {
      if (!(thrown instanceof NeedsGeneralReader)) throw thrown;
      const { readGeneralGlb } = await import('../three/general_glb');
      return readGeneralGlb(thrown.buffer);
    }
  }

  private takeBulk(bulk: Box): void {
    this.bulk = bulk;
    this.controls.limit(boxRadius(bulk));
    this.frusta = new FrustaShape(this.cameras, boxRadius(bulk) * FRUSTUM_SIZE);
    this.backend?.setFrusta(this.frusta);
    // Another version of the same scene is seen from where the last one was.
    const isKnown = this.lastBulk !== undefined && areAlike(bulk, this.lastBulk);
    if (!isKnown && !this.hasOwnPose) this.resetView(true);
    this.lastBulk = bulk;
    this.lastPose = poseKey(this.pose);
    this.hasView = true;
    this.invalidate();
  }

  private goTo(pose: Pose, isSudden = false): void {
    this.controls.goTo(pose, isSudden);
  }

  private frame(now: number): void {
    const { backend } = this;
    if (backend === undefined) return;
    const begin = performance.now();
    const needsMore = this.controls.update(now);
    this.adaptToMotion(begin, this.reportView());
    const tiles = this.choose();
    backend.render({
      camera: this.camera,
      tiles,
      style: this.options,
      showCameras: this.options.showCameras,
      markedCamera: this.markedCamera,
    });
    this.counts.frames += 1;
    this.counts.frameMs = performance.now() - begin;
    this.report(tiles.length > 0);
    if (needsMore) this.invalidate();
  }

  /** Select tiles for the camera as it stands, the nearest first. */
  private choose(): readonly GpuTile[] {
    this.placePlanes();
    if (this.single !== undefined) {
      this.counts.nodesDrawn = 1;
      this.counts.pointsDrawn = this.single.points;
      return [this.single];
    }
    if (this.stream === undefined) return [];
    const eye = this.camera.position.toArray() as unknown as Vec3;
    // Until something is known of the scene, there is no view: the first content alone is wanted.
    const { drawn, points } = this.stream.update(this.hasView ? this.view(eye) : EVERYWHERE, {
      pointBudget: this.hasView ? this.budget() : 1,
      targetError: TARGET_ERROR * this.coarseness,
    });
    this.counts.nodesDrawn = drawn.length;
    this.counts.pointsDrawn = points;
    const own = ({ content }: OctreeNode<GpuTile>): number => content?.spacing ?? Infinity;
    for (const node of drawn) node.content!.drawnSpacing = drawnSpacing(node, own);
    return drawn
      .map((node) => ({ tile: node.content!, distance: distanceToBox(node.box, eye) }))
      .sort((a, b) => a.distance - b.distance)
      .map(({ tile }) => tile);
  }

  /** Fewer points in motion, as many times as the picture is coarser, but no fewer than make one. */
  private budget(): number {
    const { pointBudget } = this.options;
    return Math.max(pointBudget / this.coarseness ** 2, Math.min(pointBudget, LEAST_MOVING_POINTS));
  }

  private view(eye: Vec3): View {
    const { camera } = this;
    const pixelsPerRadian = this.canvas.height / (2 * Math.tan((camera.fov * Math.PI) / 360));
    return {
      frustum: frustumFromMatrix(this.viewProjection()),
      eye,
      pixelsPerRadian,
      near: camera.near,
    };
  }

  private viewProjection(): Mat4 {
    const { projectionMatrix, matrixWorldInverse } = this.camera;
    return projectionMatrix.clone().multiply(matrixWorldInverse).elements;
  }

  /** Put near and far around the scene as seen from here. */
  private placePlanes(): void {
    const { camera, controls } = this;
    const box = this.stream?.root?.box ?? this.single?.box;
    if (box !== undefined) {
      const toCenter = Math.hypot(
        ...boxCenter(box).map((v, i) => v - camera.position.getComponent(i)),
      );
      camera.far = (toCenter + boxRadius(box)) * 1.05;
      const toTarget = camera.position.distanceTo(controls.target);
      camera.near = Math.max(Math.min(toTarget * 0.02, camera.far * 0.1), camera.far * 1e-4);
      camera.updateProjectionMatrix();
    }
    camera.updateMatrixWorld();
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

  private report(hasPoints: boolean): void {
    const now = performance.now();
    if (hasPoints && this.counts.firstPixelsMs === 0) {
      this.counts.firstPixelsMs = now - this.openedAt;
      this.events.onFirstPixels(this.stats);
    }
    const isSettled =
      this.coarseness === 1 && (this.stream?.isSettled ?? this.single !== undefined);
    if (!isSettled) {
      this.hasSettled = false;
      if (now - this.lastProgress < PROGRESS_MS) return;
      this.lastProgress = now;
      this.events.onProgress(this.stats);
    } else if (!this.hasSettled) {
      this.hasSettled = true;
      const { stats } = this;
      this.events.onProgress(stats);
      this.events.onSettled(stats);
      for (const resolve of this.settledWaiters.splice(0)) resolve(stats);
    }
  }

  private lose(): void {
    this.stream?.clear();
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
