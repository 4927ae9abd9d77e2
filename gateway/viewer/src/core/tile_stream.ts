/** Keeps the right tiles of one tileset in memory as the camera moves. */
import { ViewerError } from './errors';
import { LIMITS, type TilesetLimits } from './limits';
import { LoadQueue } from './load_queue';
import { ByteLru } from './lru';
import { OctreeNode } from './octree';
import { select, type Selection, type SelectionOptions, type View } from './select';
import { parseTileset } from './tileset';

/** What one tile is in memory. */
export interface TileContent {
  readonly points: number;
  /** On the GPU and beside it. */
  readonly bytes: number;
  dispose(): void;
}

export interface TileSource<Content extends TileContent> {
  text(url: string, signal: AbortSignal): Promise<string>;
  content(node: OctreeNode<Content>, url: string, signal: AbortSignal): Promise<Content>;
}

export interface TileStreamEvents {
  /** Something came or failed: update() should be called again. */
  readonly onChange: () => void;
  /** A tile is broken; the rest goes on. */
  readonly onTileError: (url: string, error: ViewerError) => void;
}

export interface TileStreamOptions {
  readonly limits: TilesetLimits;
  readonly concurrency: number;
  readonly memoryBytes: number;
  readonly backoffMs: number;
}

const DEFAULTS: TileStreamOptions = {
  limits: LIMITS,
  concurrency: 8,
  memoryBytes: 256 * 2 ** 20,
  backoffMs: 500,
};
const ATTEMPTS = 3;

export class TileStream<Content extends TileContent> {
  private readonly queue: LoadQueue<OctreeNode<Content>, Content | string>;
  private readonly lru = new ByteLru<OctreeNode<Content>>();
  private readonly options: TileStreamOptions;
  private selection: Selection<Content> = { drawn: [], wanted: [], points: 0 };
  private tiles = 0;
  private points = 0;
  private tree: OctreeNode<Content> | undefined;

  constructor(
    private readonly source: TileSource<Content>,
    private readonly events: TileStreamEvents,
    options: Partial<TileStreamOptions> = {},
  ) {
    this.options = { ...DEFAULTS, ...options };
    this.queue = new LoadQueue({
      load: (node, signal) => this.load(node, signal),
      onStarted: (node) => { node.state = 'loading'; }, // prettier-ignore
      onLoaded: (node, value) => { this.take(node, value); }, // prettier-ignore
      onDropped: (node) => { node.state = 'absent'; this.events.onChange(); }, // prettier-ignore
      onFailed: (node, error) => { this.fail(node, error); }, // prettier-ignore
      onRetry: this.events.onChange,
      concurrency: this.options.concurrency,
      attempts: ATTEMPTS,
      backoffMs: this.options.backoffMs,
    });
  }

  /** Fetch the first tileset; throws ViewerError where it is not one. */
  async open(url: string, signal: AbortSignal): Promise<void> {
    this.graft(await this.source.text(url, signal), url, undefined);
  }

  get root(): OctreeNode<Content> | undefined {
    return this.tree;
  }

  get nodesLoading(): number {
    return this.queue.pending;
  }

  get pointsResident(): number {
    return this.points;
  }

  /** Whether everything that the last view wanted is here. */
  get isSettled(): boolean {
    return this.selection.wanted.length === 0 && this.queue.pending === 0;
  }

  /** Choose what to draw for a view, and start and stop loads for it. */
  update(view: View, options: SelectionOptions): Selection<Content> {
    if (this.tree === undefined) return this.selection;
    this.selection = select(this.tree, view, options, this.selection.drawn);
    for (const node of this.selection.drawn) this.lru.touch(node);
    this.queue.want(this.selection.wanted);
    for (const node of this.lru.evict(this.options.memoryBytes, (node) => node.isDrawn))
      this.drop(node);
    return this.selection;
  }

  /** Give up all contents, as after the loss of a GPU context; the tree stays. */
  clear(): void {
    for (const node of [...this.lru.keys()]) {
      this.lru.remove(node);
      this.drop(node);
    }
    this.selection = { drawn: [], wanted: [], points: 0 };
  }

  dispose(): void {
    this.queue.close();
    this.clear();
    this.tree = undefined;
  }

  private async load(node: OctreeNode<Content>, signal: AbortSignal): Promise<Content | string> {
    const { url } = node;
    if (url === undefined) throw new ViewerError('BAD_CONTENT', 'the tile has no content');
    if (node.isTileset) return this.source.text(url, signal);
    return this.source.content(node, url, signal);
  }

  private take(node: OctreeNode<Content>, value: Content | string): void {
    if (typeof value === 'string') {
      this.takeTileset(node, value);
      return;
    }
    node.content = value;
    node.points = value.points;
    node.state = 'ready';
    this.points += value.points;
    this.lru.add(node, value.bytes);
    this.events.onChange();
  }

  private takeTileset(node: OctreeNode<Content>, text: string): void {
    try {
      this.graft(text, node.url ?? '', node);
    } catch (thrown) {
      if (!(thrown instanceof ViewerError)) throw thrown;
      this.fail(node, thrown);
      return;
    }
    node.state = 'ready';
    this.events.onChange();
  }

  private graft(text: string, url: string, parent: OctreeNode<Content> | undefined): void {
    const { limits } = this.options;
    if (text.length > limits.jsonBytes)
      throw new ViewerError(
        'LIMIT',
        `${url} has ${text.length} bytes; at most ${limits.jsonBytes}`,
      );
    const found = parseTileset<Content>(text, {
      url,
      tilesBefore: this.tiles,
      limits,
      ...(parent === undefined ? {} : { parent }),
    });
    this.tiles += found.tiles;
    if (parent === undefined) this.tree = found.root;
    else parent.children = [...parent.children, found.root];
  }

  private fail(node: OctreeNode<Content>, error: ViewerError): void {
    node.state = 'failed';
    this.events.onTileError(node.url ?? '', error);
    this.events.onChange();
  }

  private drop(node: OctreeNode<Content>): void {
    this.points -= node.points;
    node.content?.dispose();
    node.content = undefined;
    node.state = 'absent';
    node.isDrawn = false;
  }
}
