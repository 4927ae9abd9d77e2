/** What the viewer tells about itself. */
export interface ViewerStats {
  readonly pointsDrawn: number;
  readonly pointsResident: number;
  readonly nodesDrawn: number;
  readonly nodesLoading: number;
  /** Bytes that came over the network, as far as the browser tells; else decoded bytes. */
  readonly bytesFetched: number;
  /** Duration of the last frame on the main thread, milliseconds. */
  readonly frameMs: number;
  /** From setting `src` to the first frame with points, milliseconds; 0 until then. */
  readonly firstPixelsMs: number;
  /** Frames drawn since the element was made: at rest it stands still. */
  readonly frames: number;
  /** Whether what is shown says where its points come from, as completed scenes do. */
  readonly hasProvenance: boolean;
  readonly renderer: 'webgl2' | 'webgpu';
  /** What a person should know, such as why WebGPU was not used; empty otherwise. */
  readonly note: string;
  /** JavaScript heap, where the browser tells (Chromium). */
  readonly heapBytes?: number;
}
