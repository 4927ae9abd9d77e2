/** What a scene consists of: its tiles or its one GLB, its cameras; fetched, decoded, uploaded. */
import { type SceneCamera, parseCameras } from '../core/cameras';
import { drawnSpacing } from '../core/drawn_spacing';
import { isAbort, viewerErrorFrom, type ViewerError } from '../core/errors';
import { FrustaShape } from '../core/frusta';
import { LIMITS } from '../core/limits';
import { type Box, boxMoved, boxRadius, distanceToBox, IDENTITY } from '../core/math';
import type { OctreeNode } from '../core/octree';
import type { SelectionOptions, View } from '../core/select';
import { TileStream } from '../core/tile_stream';
import type { Backend, GpuTile } from '../three/backend';
import type { DecodedPoints } from '../worker/points';
import { DecodePool, NeedsGeneralReader } from '../worker/pool';
import { Fetcher } from './fetcher';

export interface ContentEvents {
  /** Something came or failed: the next frame may look different. */
  onChange(): void;
  /** Where most of the points lie is known now, and the cameras are read. */
  onBulk(bulk: Box): void;
  /** A tile or the cameras' file is broken; the rest goes on. */
  onError(url: string, error: ViewerError): void;
}

/** What to draw of a scene. */
export interface Chosen {
  /** The nearest first. */
  readonly tiles: readonly GpuTile[];
  readonly points: number;
}

/** Length of a camera's frustum in radii of the bulk. */
const FRUSTUM_SIZE = 0.03;
/** Factor on the spacing of points that keep no least distance, as in leaves: they leave larger holes. */
const LEAF_SPACING = 1.2;
const NOTHING: Chosen = { tiles: [], points: 0 };

export class SceneContent {
  cameras: readonly SceneCamera[] = [];
  frusta: FrustaShape | undefined;
  /** Around most of the points, scene axes. */
  bulk: Box | undefined;
  /** Whether any of it says where its points come from. */
  hasProvenance = false;
  private readonly fetcher = new Fetcher();
  private readonly pool = new DecodePool();
  private stream: TileStream<GpuTile> | undefined;
  private single: GpuTile | undefined;
  private camerasReady: Promise<void> = Promise.resolve();
  private opening = new AbortController();

  /** @param backend resolves when there is something to upload to; never if there is no GPU */
  constructor(
    private readonly backend: Promise<Backend>,
    private readonly events: ContentEvents,
  ) {
    this.pool.warm();
  }

  /**
   * Read a tileset.json or a GLB in the place of what was there; throws ViewerError.
   *
   * @returns false where another one has been opened meanwhile
   */
  async open(src: string, cameras: string): Promise<boolean> {
    this.close();
    const { signal } = this.opening;
    this.camerasReady = this.openCameras(cameras, signal);
    if (src === '') return true;
    const url = new URL(src, document.baseURI).href;
    try {
      if (new URL(url).pathname.endsWith('.glb')) await this.openGlb(url, signal);
      else await this.openTileset(url, signal);
    } catch (thrown) {
      if (isAbort(thrown) || signal.aborted) return false;
      throw viewerErrorFrom(thrown);
    }
    return true;
  }

  get bytesFetched(): number {
    return this.fetcher.bytes;
  }

  get pointsResident(): number {
    return this.stream?.pointsResident ?? this.single?.points ?? 0;
  }

  get nodesLoading(): number {
    return this.stream?.nodesLoading ?? 0;
  }

  /** Whether everything that the last view wanted is here. */
  get isSettled(): boolean {
    return this.stream?.isSettled ?? this.single !== undefined;
  }

  /** Around all points, as far as it is known. */
  get box(): Box | undefined {
    return this.stream?.root?.box ?? this.single?.box;
  }

  /** Choose what to draw for a view, and fetch what it lacks. */
  choose(view: View, options: SelectionOptions): Chosen {
    if (this.single !== undefined) return { tiles: [this.single], points: this.single.points };
    if (this.stream === undefined) return NOTHING;
    const { drawn, points } = this.stream.update(view, options);
    const own = ({ content }: OctreeNode<GpuTile>): number => content?.spacing ?? Infinity;
    for (const node of drawn) node.content!.drawnSpacing = drawnSpacing(node, own);
    const tiles = drawn
      .map((node) => ({ tile: node.content!, distance: distanceToBox(node.box, view.eye) }))
      .sort((a, b) => a.distance - b.distance)
      .map(({ tile }) => tile);
    return { tiles, points };
  }

  /** The GPU has lost everything: tiles are fetched anew. */
  lose(): void {
    this.stream?.clear();
  }

  dispose(): void {
    this.close();
    this.pool.dispose();
    this.fetcher.dispose();
  }

  private close(): void {
    this.opening.abort();
    this.opening = new AbortController();
    this.stream?.dispose();
    this.single?.dispose();
    this.stream = this.single = this.bulk = undefined;
    this.cameras = [];
    this.hasProvenance = false;
    this.fetcher.bytes = 0;
  }

  private async openTileset(url: string, signal: AbortSignal): Promise<void> {
    const source = {
      text: (at: string, by: AbortSignal) => this.fetcher.text(at, LIMITS.jsonBytes, by),
      content: (node: OctreeNode<GpuTile>, at: string, by: AbortSignal) => this.tile(node, at, by),
    };
    const stream = new TileStream<GpuTile>(source, {
      onChange: () => { this.events.onChange(); }, // prettier-ignore
      onTileError: (at, error) => { this.events.onError(at, error); }, // prettier-ignore
    });
    await stream.open(url, signal);
    this.stream = stream;
  }

  private async openGlb(url: string, signal: AbortSignal): Promise<void> {
    const points = await this.decoded(url, signal);
    const backend = await this.backend;
    await this.camerasReady;
    signal.throwIfAborted();
    this.single = backend.upload(points, IDENTITY, points.spacing);
    this.hasProvenance = points.hasProvenance;
    this.takeBulk(points.bulk, backend);
  }

  private async openCameras(src: string, signal: AbortSignal): Promise<void> {
    if (src === '') return;
    const url = new URL(src, document.baseURI).href;
    try {
      this.cameras = parseCameras(await this.fetcher.text(url, LIMITS.jsonBytes, signal));
    } catch (thrown) {
      if (!isAbort(thrown)) this.events.onError(url, viewerErrorFrom(thrown));
    }
  }

  private async tile(
    node: OctreeNode<GpuTile>,
    url: string,
    signal: AbortSignal,
  ): Promise<GpuTile> {
    const points = await this.decoded(url, signal);
    if (node.parent === undefined || this.bulk === undefined) await this.camerasReady;
    const backend = await this.backend;
    signal.throwIfAborted();
    const most = node.parent?.error ?? Infinity;
    const spacing = node.error > 0 ? node.error : Math.min(points.spacing * LEAF_SPACING, most);
    const tile = backend.upload(points, node.transform, spacing);
    this.hasProvenance ||= points.hasProvenance;
    if (this.bulk === undefined) this.takeBulk(this.bulkBy(node, points), backend);
    return tile;
  }

  /** Return where most points are by the first tile, or the whole where the broken root would have told. */
  private bulkBy(node: OctreeNode<GpuTile>, points: DecodedPoints): Box {
    const root = this.stream?.root;
    return root?.state === 'failed' ? root.box : boxMoved(node.transform, points.bulk);
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

  private takeBulk(bulk: Box, backend: Backend): void {
    this.bulk = bulk;
    this.frusta = new FrustaShape(this.cameras, boxRadius(bulk) * FRUSTUM_SIZE);
    backend.setFrusta(this.frusta);
    this.events.onBulk(bulk);
  }
}
