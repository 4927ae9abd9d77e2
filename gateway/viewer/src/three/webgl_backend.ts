/** Draws with WebGL2: points into a texture with depth, then one pass to the canvas. */
import { type PerspectiveCamera, WebGLRenderer } from 'three';
import { ViewerError } from '../core/errors';
import type { FrustaShape } from '../core/frusta';
import type { Mat4, Vec3 } from '../core/math';
import type { DecodedPoints } from '../worker/points';
import type { Backend, BackendEvents, Frame, GpuTile } from './backend';
import { PointLayer } from './point_layer';
import { ScreenPasses } from './screen_pass';
import { makeTile } from './webgl_tile';

export class WebGlBackend implements Backend {
  readonly kind = 'webgl2';
  private readonly renderer: WebGLRenderer;
  private readonly points = new PointLayer();
  private readonly passes: ScreenPasses;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly events: BackendEvents,
  ) {
    this.renderer = makeRenderer(canvas);
    this.renderer.autoClear = false;
    this.renderer.sortObjects = false;
    this.renderer.info.autoReset = false;
    this.passes = new ScreenPasses(this.renderer);
    canvas.addEventListener('webglcontextlost', this.onLost);
    canvas.addEventListener('webglcontextrestored', this.events.onRestored);
  }

  upload(points: DecodedPoints, sceneFromFile: Mat4, spacing: number): GpuTile {
    return makeTile(points, sceneFromFile, spacing);
  }

  setFrusta(shape: FrustaShape): void {
    this.points.frusta.show(shape);
  }

  resize(width: number, height: number): void {
    this.renderer.setSize(width, height, false);
    this.passes.target.setSize(width, height);
  }

  render(frame: Frame): void {
    const { renderer, passes } = this;
    this.points.take(frame, passes.target.height);
    renderer.setRenderTarget(passes.target);
    renderer.setClearColor(0, 0);
    renderer.clear();
    renderer.render(this.points.scene, frame.camera);
    if (frame.surface !== undefined) renderer.render(frame.surface, frame.camera);
    passes.toCanvas(frame.camera, frame.style.edl);
  }

  pick(x: number, y: number, camera: PerspectiveCamera): Promise<Vec3 | undefined> {
    return Promise.resolve(this.passes.pick(x, y, camera));
  }

  dispose(): void {
    this.canvas.removeEventListener('webglcontextlost', this.onLost);
    this.canvas.removeEventListener('webglcontextrestored', this.events.onRestored);
    this.points.dispose();
    this.passes.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }

  private readonly onLost = (event: Event): void => {
    event.preventDefault();
    this.events.onLost();
  };
}

function makeRenderer(canvas: HTMLCanvasElement): WebGLRenderer {
  try {
    return new WebGLRenderer({ canvas, antialias: false, alpha: true, depth: false, stencil: false, powerPreference: 'high-performance' }); // prettier-ignore
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new ViewerError('NO_GPU', `the browser gives no WebGL2: ${why}`);
  }
}
