/** The place of the box tool in the element: starts it when it is wanted and a scene is there. */
import { isRegion, type Region } from '../core/region';
import type { RegionTool } from './region_tool';
import type { Stage } from './stage';

export interface RegionSlotHost {
  parts(): { readonly root: ShadowRoot; readonly canvas: HTMLCanvasElement };
  stage(): Stage | undefined;
  isWanted(): boolean;
  say(words: string): void;
  onRegion(region: Region): void;
  onRegionEnd(): void;
}

export class RegionSlot {
  private tool: RegionTool | undefined;
  /** The box to begin with. */
  private given: Region | undefined;
  private isStarting = false;

  constructor(private readonly host: RegionSlotHost) {}

  get region(): Region | undefined {
    return this.tool?.region ?? this.given;
  }
  /** What is no region is left out. */
  set region(value: Region | undefined) {
    if (value !== undefined && !isRegion(value)) return;
    this.given = value;
    if (value !== undefined && this.tool !== undefined) this.tool.region = value;
  }

  /** A frame has been drawn. */
  onFrame(): void {
    if (this.tool !== undefined) this.tool.onFrame();
    else if (this.host.isWanted() && !this.isStarting && (this.host.stage()?.hasPoints ?? false))
      void this.start();
  }

  /** Take the tool away. */
  end(): void {
    this.given = undefined;
    this.tool?.dispose();
    this.tool = undefined;
  }

  private async start(): Promise<void> {
    const { host } = this;
    const stage = host.stage();
    if (stage === undefined) return;
    this.isStarting = true;
    try {
      const { RegionTool } = await import('./region_tool');
      const tool = await RegionTool.start(
        {
          ...host.parts(),
          cameraMatrix: () => stage.lens.camera.matrixWorld.elements,
          viewProjection: () => stage.lens.viewProjection(),
          fov: stage.lens.fov,
          target: () => stage.pose.target,
          pointAt: (x, y) => stage.pointAt(x, y),
          mark: (box) => { stage.mark(box); },
          say: (words) => { host.say(words); },
          onChange: (region) => { host.onRegion(region); },
          onEnd: () => { host.onRegionEnd(); },
        },
        this.given,
      ); // prettier-ignore
      // Meanwhile it may no longer be wanted, or be wanted on another canvas.
      if (host.isWanted() && host.stage() === stage) this.tool = tool;
      else tool.dispose();
    } finally {
      this.isStarting = false;
    }
  }
}
