/** Moves the camera: pointer, wheel and touch by three's OrbitControls; keys and flights here. */
import { type PerspectiveCamera, Spherical, Vector3 } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import type { Vec3 } from '../core/math';
import type { Pose } from '../core/initial_view';

const FLIGHT_MS = 600;
const TURN = Math.PI / 24;
const POLE = 0.02;

interface Flight {
  readonly start: number;
  readonly from: { eye: Vector3; target: Vector3 };
  readonly to: { eye: Vector3; target: Vector3 };
}

export class CameraControls {
  /** Whether motion that nobody's hand makes is unwanted. */
  private readonly still = matchMedia('(prefers-reduced-motion: reduce)');
  private readonly orbit: OrbitControls;
  private flight: Flight | undefined;
  private wantsRotation = false;

  /** @param onChange something moved, or wants to: a frame is needed */
  constructor(
    private readonly camera: PerspectiveCamera,
    canvas: HTMLCanvasElement,
    private readonly onChange: () => void,
  ) {
    this.orbit = new OrbitControls(camera, canvas);
    this.orbit.zoomToCursor = true;
    this.orbit.dampingFactor = 0.12;
    this.orbit.autoRotateSpeed = 1.2;
    this.orbit.addEventListener('change', onChange);
    this.orbit.addEventListener('start', this.onStart);
    this.still.addEventListener('change', this.onStillness);
    this.onStillness();
  }

  get target(): Vector3 {
    return this.orbit.target;
  }

  set autorotate(value: boolean) {
    this.wantsRotation = value;
    this.onStillness();
  }

  /** Advance flights and damping; return whether another frame is needed. */
  update(now: number): boolean {
    if (this.flight !== undefined) this.fly(this.flight, now);
    const hasMoved = this.orbit.update();
    return hasMoved || this.flight !== undefined || this.orbit.autoRotate;
  }

  /** Set how far the camera may go from its target, scene units. */
  limit(radius: number): void {
    this.orbit.minDistance = radius * 1e-3;
    this.orbit.maxDistance = radius * 20;
  }

  /** Go to a pose, in a short flight unless motion is unwanted or `isSudden`. */
  goTo(pose: Pose, isSudden = false): void {
    const to = { eye: new Vector3(...pose.eye), target: new Vector3(...pose.target) };
    if (isSudden || this.still.matches) {
      this.camera.position.copy(to.eye);
      this.orbit.target.copy(to.target);
      this.orbit.update();
    } else {
      const from = { eye: this.camera.position.clone(), target: this.orbit.target.clone() };
      this.flight = { start: performance.now(), from, to };
    }
    this.onChange();
  }

  /** Turn about a new point without a jump: the camera swings to look at it. */
  setPivot(point: Vec3): void {
    const { x, y, z } = this.camera.position;
    this.goTo({ eye: [x, y, z], target: point });
  }

  /** Turn about the target by steps of 7.5°. */
  turn(right: number, up: number): void {
    const offset = this.camera.position.clone().sub(this.orbit.target);
    const place = new Spherical().setFromVector3(offset);
    place.theta += right * TURN;
    place.phi = Math.min(Math.max(place.phi - up * TURN, POLE), Math.PI - POLE);
    this.camera.position.setFromSpherical(place).add(this.orbit.target);
    this.settle();
  }

  /** Move sideways by twentieths of the distance to the target. */
  pan(right: number, up: number): void {
    const step = this.camera.position.distanceTo(this.orbit.target) / 20;
    const shift = new Vector3(right * step, up * step, 0).applyQuaternion(this.camera.quaternion);
    this.camera.position.add(shift);
    this.orbit.target.add(shift);
    this.settle();
  }

  /** Come nearer (factor below 1) or go away. */
  zoom(factor: number): void {
    const offset = this.camera.position.clone().sub(this.orbit.target);
    const distance = Math.min(
      Math.max(offset.length() * factor, this.orbit.minDistance),
      this.orbit.maxDistance,
    );
    this.camera.position.copy(this.orbit.target).add(offset.setLength(distance));
    this.settle();
  }

  dispose(): void {
    this.orbit.dispose();
    this.still.removeEventListener('change', this.onStillness);
  }

  private settle(): void {
    this.flight = undefined;
    this.orbit.update();
    this.onChange();
  }

  private fly(flight: Flight, now: number): void {
    const t = Math.min(Math.max((now - flight.start) / FLIGHT_MS, 0), 1);
    const eased = t * t * (3 - 2 * t);
    this.camera.position.lerpVectors(flight.from.eye, flight.to.eye, eased);
    this.orbit.target.lerpVectors(flight.from.target, flight.to.target, eased);
    if (t === 1) this.flight = undefined;
  }

  private readonly onStart = (): void => {
    this.flight = undefined;
  };

  private readonly onStillness = (): void => {
    this.orbit.enableDamping = !this.still.matches;
    this.orbit.autoRotate = this.wantsRotation && !this.still.matches;
    this.onChange();
  };
}
