/** The place of a scene's surface: fetched when it is first wanted, kept until another one is. */
import { isAbort, viewerErrorFrom, type ViewerError } from '../core/errors';
import { LIMITS } from '../core/limits';
import type { SurfaceLayer } from '../three/surface_layer';
import { Fetcher } from './fetcher';

export interface SurfaceEvents {
  onChange(): void;
  onError(url: string, error: ViewerError): void;
}

export class SurfaceSlot {
  layer: SurfaceLayer | undefined;
  isLoading = false;
  private url = '';
  private opening = new AbortController();
  private readonly fetcher = new Fetcher();

  constructor(private readonly events: SurfaceEvents) {}

  get bytesFetched(): number {
    return this.fetcher.bytes;
  }

  /** Load a GLB, unless it is there or on its way. */
  want(src: string): void {
    if (src === this.url) return;
    this.clear();
    this.url = src;
    if (src !== '') void this.load(new URL(src, document.baseURI).href, this.opening.signal);
  }

  /** Forget what is there: another scene, or a GPU that was lost. */
  clear(): void {
    this.opening.abort();
    this.opening = new AbortController();
    this.layer?.dispose();
    this.layer = undefined;
    this.isLoading = false;
    this.url = '';
  }

  dispose(): void {
    this.clear();
    this.fetcher.dispose();
  }

  private async load(url: string, signal: AbortSignal): Promise<void> {
    this.isLoading = true;
    try {
      const [buffer, { SurfaceLayer: Layer }] = await Promise.all([
        this.fetcher.buffer(url, LIMITS.contentBytes, signal),
        import('../three/surface_layer'),
      ]);
      const layer = await Layer.read(buffer);
      if (signal.aborted) {
        layer.dispose();
        return;
      }
      this.layer = layer;
    } catch (thrown) {
      if (isAbort(thrown) || signal.aborted) return;
      this.events.onError(url, viewerErrorFrom(thrown));
    }
    this.isLoading = false;
    this.events.onChange();
  }
}
