/** The box that a person moves and sizes over a scene: by mouse, touch and keys. A lazy chunk. */
import { drawBox } from '../core/box_drawing';
import { type Box, boxCenter, type Mat4, type Vec3 } from '../core/math';
import {
  along,
  bearings,
  boxFromRegion,
  cubeAround,
  middleOf,
  moved,
  nearestAlong,
  onPlane,
  type Ray,
  type Region,
  regionFromBox,
  type Side,
  SIDES,
  sized,
} from '../core/region';
import { makeRegionParts, type RegionParts } from './region_parts';

/** What the tool needs of the element that it works in. */
export interface RegionHost {
  readonly canvas: HTMLCanvasElement;
  readonly root: ShadowRoot;
  /** Camera to scene. */
  cameraMatrix(): Mat4;
  viewProjection(): Mat4;
  /** Vertical field of view, radians. */
  readonly fov: number;
  /** What the camera turns about. */
  target(): Vec3;
  pointAt(x: number, y: number): Promise<Vec3 | undefined>;
  /** Show which points lie in a box; undefined for none. A frame follows. */
  mark(box: Box | undefined): void;
  say(words: string): void;
  onChange(region: Region): void;
  /** The person wants no more of it. */
  onEnd(): void;
}

/** Half a side of the first box in halves of the view's smaller extent. */
const FIRST_SIZE = 0.34;
/** How much of that the first box lies behind the surface it is put around. */
const FIRST_DEPTH = 0.55;
/** A key moves by this share of the box's mean side. */
const KEY_STEP = 1 / 12;
/** A side is never thinner than this share of its distance to the eye. */
const THINNEST = 2e-3;
/** Handles nearer to the middle of the box than this many pixels look at the eye: no use. */
const LEAST_HANDLE_PX = 9;
const QUIET_MS = 450;

const KEYS = `Arrow keys move the box, Page Up and Page Down move it away and nearer; with Shift the same
keys move its right, upper and far side. Escape ends.`;

/** A hand that holds the box or one of its sides. */
interface Grip {
  readonly pointer: number;
  readonly side: Side | undefined;
  readonly start: Box;
  readonly at: Vec3 | number;
}

export class RegionTool {
  private readonly parts: RegionParts;
  private box: Box;
  private grip: Grip | undefined;
  private isDirty = true;
  private words: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    private readonly host: RegionHost,
    box: Box,
  ) {
    this.box = box;
    this.parts = makeRegionParts(host.root, KEYS);
    const { layer, body, handles } = this.parts;
    layer.addEventListener('keydown', this.onKey);
    body.addEventListener('pointerdown', (event) => { this.hold(event, undefined); }); // prettier-ignore
    body.addEventListener('wheel', this.onWheel, { passive: false });
    for (const [index, handle] of handles.entries())
      handle.addEventListener('pointerdown', (event) => { this.hold(event, SIDES[index]); }); // prettier-ignore
    for (const part of [body, ...handles]) {
      part.addEventListener('pointermove', this.onMove);
      part.addEventListener('pointerup', this.onRelease);
      part.addEventListener('pointercancel', this.onRelease);
    }
    this.set(box);
    layer.focus({ preventScroll: true });
    host.say(`A box is shown. ${KEYS}`);
  }

  /** Show a box: the one given, or one around the points at the middle of the view. */
  static async start(host: RegionHost, region?: Region): Promise<RegionTool> {
    return new RegionTool(host, region ? boxFromRegion(region) : await firstBox(host));
  }

  get region(): Region {
    return regionFromBox(this.box);
  }
  set region(value: Region) {
    this.set(boxFromRegion(value));
  }

  /** Draw the box as it lies in the frame that has just been drawn; tell of changes. */
  onFrame(): void {
    const { canvas } = this.host;
    const { clientWidth, clientHeight } = canvas;
    if (clientWidth === 0) return;
    const drawing = drawBox(this.box, this.host.viewProjection(), this.eye, clientWidth, clientHeight); // prettier-ignore
    this.parts.show(drawing, LEAST_HANDLE_PX);
    if (!this.isDirty) return;
    this.isDirty = false;
    this.host.onChange(this.region);
  }

  dispose(): void {
    clearTimeout(this.words);
    this.host.mark(undefined);
    const hadFocus = this.host.root.activeElement === this.parts.layer;
    this.parts.layer.remove();
    if (hadFocus) this.host.canvas.focus({ preventScroll: true });
  }

  private set(box: Box): void {
    this.box = box;
    this.isDirty = true;
    this.host.mark(box);
  }

  private get eye(): Vec3 {
    const m = this.host.cameraMatrix();
    return [m[12]!, m[13]!, m[14]!];
  }

  private get least(): number {
    const [eye, center] = [this.eye, boxCenter(this.box)];
    return THINNEST * Math.hypot(...eye.map((value, axis) => value - center[axis]!));
  }

  private hold(event: PointerEvent, side: Side | undefined): void {
    if (event.button !== 0 || this.grip !== undefined) return;
    const at = this.placeOf(event, side, this.box);
    if (at === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    this.grip = { pointer: event.pointerId, side, start: this.box, at };
    this.parts.layer.classList.add('held');
    this.parts.layer.focus({ preventScroll: true });
  }

  private readonly onMove = (event: Event): void => {
    const { grip } = this;
    if (grip?.pointer !== (event as PointerEvent).pointerId) return;
    const now = this.placeOf(event as PointerEvent, grip.side, grip.start);
    if (now === undefined) return;
    if (grip.side !== undefined) {
      this.set(sized(grip.start, grip.side, (now as number) - (grip.at as number), this.least));
    } else {
      const [a, b] = [grip.at as Vec3, now as Vec3];
      this.set(moved(grip.start, [b[0] - a[0], b[1] - a[1], b[2] - a[2]]));
    }
  };

  private readonly onRelease = (event: Event): void => {
    if (this.grip?.pointer !== (event as PointerEvent).pointerId) return;
    this.grip = undefined;
    this.parts.layer.classList.remove('held');
    this.sayPlace();
  };

  /** A wheel over the box zooms as beside it. */
  private readonly onWheel = (event: Event): void => {
    event.preventDefault();
    this.host.canvas.dispatchEvent(new WheelEvent('wheel', event));
  };

  /** Where a hand is: along a side's direction, or in the plane of the box's middle across the view. */
  private placeOf(
    event: PointerEvent,
    side: Side | undefined,
    start: Box,
  ): Vec3 | number | undefined {
    const ray = this.rayAt(event);
    if (side !== undefined) return nearestAlong(middleOf(start, side), side, ray);
    const m = this.host.cameraMatrix();
    return onPlane(boxCenter(start), [m[8]!, m[9]!, m[10]!], ray);
  }

  private rayAt({ clientX, clientY }: PointerEvent): Ray {
    const { canvas, fov } = this.host;
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const m = this.host.cameraMatrix();
    const high = Math.tan(fov / 2);
    const x = (((clientX - left) / width) * 2 - 1) * high * (width / height);
    const y = (1 - ((clientY - top) / height) * 2) * high;
    const direction = [0, 1, 2].map((i) => m[i]! * x + m[4 + i]! * y - m[8 + i]!);
    return { origin: this.eye, direction: direction as unknown as Vec3 };
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      this.host.onEnd();
      return;
    }
    const { right, up, away } = bearings(this.host.cameraMatrix());
    const moves: Readonly<Record<string, readonly [Side, 1 | -1]>> = {
      ArrowRight: [right, 1], ArrowLeft: [right, -1], ArrowUp: [up, 1], ArrowDown: [up, -1],
      PageUp: [away, 1], PageDown: [away, -1],
    }; // prettier-ignore
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const { low, high } = this.box;
    const step = (KEY_STEP * (high[0] - low[0] + high[1] - low[1] + high[2] - low[2])) / 3;
    const [side, sign] = move;
    if (event.shiftKey) this.set(sized(this.box, side, sign * step, this.least));
    else this.set(moved(this.box, along(side, sign * step)));
    this.sayPlace();
  };

  /** Say where the box is once it rests. */
  private sayPlace(): void {
    clearTimeout(this.words);
    this.words = setTimeout(() => {
      const { min, max } = this.region;
      const number = (value: number): string => String(Number(value.toPrecision(3)));
      const size = max.map((value, axis) => number(value - min[axis]!)).join(' by ');
      const center = max.map((value, axis) => number((value + min[axis]!) / 2)).join(', ');
      this.host.say(`Box ${size}, its middle at ${center}`);
    }, QUIET_MS);
  }
}

/** A cube around the points at the middle of the view, a third as large as the view there. */
async function firstBox(host: RegionHost): Promise<Box> {
  const { clientWidth: width, clientHeight: height } = host.canvas;
  const m = host.cameraMatrix();
  const eye: Vec3 = [m[12]!, m[13]!, m[14]!];
  const forward: Vec3 = [-m[8]!, -m[9]!, -m[10]!];
  let point: Vec3 | undefined;
  for (const [x, y] of [
    [0, 0],
    [0, 0.08],
    [-0.08, 0],
    [0.08, 0],
    [0, -0.08],
    [0, 0.2],
  ] as const)
    // prettier-ignore
    point ??= await host.pointAt(width * (0.5 + x), height * (0.5 + y));
  const at = point ?? host.target();
  const depth = at.reduce((sum, value, axis) => sum + (value - eye[axis]!) * forward[axis]!, 0);
  const extent = Math.max(depth, 1e-6) * Math.tan(host.fov / 2) * Math.min(width / height, 1);
  const half = extent * FIRST_SIZE;
  const back = half * FIRST_DEPTH;
  return cubeAround(
    [at[0] + forward[0] * back, at[1] + forward[1] * back, at[2] + forward[2] * back],
    half,
  );
}
