/** The element's properties, each the mirror of an attribute. */
import type { ColorMode, SurfaceMode } from '../three/backend';
import {
  ATTRIBUTES,
  colorModeFrom,
  defaultPointBudget,
  numberFrom,
  rendererFrom,
  surfaceModeFrom,
} from './attributes';

export abstract class ReflectedElement extends HTMLElement {
  static readonly observedAttributes = ATTRIBUTES;

  /** Address of a tileset.json or a .glb; the empty string shows nothing. */
  get src(): string {
    return this.getAttribute('src') ?? '';
  }
  set src(value: string) {
    this.setAttribute('src', value);
  }

  /** Address of a transforms.json; the empty string for none. */
  get cameras(): string {
    return this.getAttribute('cameras') ?? '';
  }
  set cameras(value: string) {
    this.setAttribute('cameras', value);
  }

  /** Most points drawn at once: 10,000 to 20,000,000. */
  get pointBudget(): number {
    return numberFrom(this.getAttribute('point-budget'), 1e4, 2e7, defaultPointBudget());
  }
  set pointBudget(value: number) {
    this.setAttribute('point-budget', String(value));
  }

  get colorMode(): ColorMode {
    return colorModeFrom(this.getAttribute('color-mode'));
  }
  set colorMode(value: ColorMode) {
    this.setAttribute('color-mode', value);
  }

  /** Strength of eye-dome lighting: 0 (off) to 4, 1 by default. */
  get edl(): number {
    return numberFrom(this.getAttribute('edl'), 0, 4, 1);
  }
  set edl(value: number) {
    this.setAttribute('edl', String(value));
  }

  /** Factor on the size of points: 0.1 to 10. */
  get pointSize(): number {
    return numberFrom(this.getAttribute('point-size'), 0.1, 10, 1);
  }
  set pointSize(value: number) {
    this.setAttribute('point-size', String(value));
  }

  /** Points less sure than this are left out: 0 to 1. */
  get minConfidence(): number {
    return numberFrom(this.getAttribute('min-confidence'), 0, 1, 0);
  }
  set minConfidence(value: number) {
    this.setAttribute('min-confidence', String(value));
  }

  get showCameras(): boolean {
    return this.hasAttribute('show-cameras');
  }
  set showCameras(value: boolean) {
    this.toggleAttribute('show-cameras', value);
  }

  /** What draws; a change holds from the next time the element is put into a page. */
  get renderer(): 'webgl2' | 'webgpu' {
    return rendererFrom(this.getAttribute('renderer'));
  }
  set renderer(value: 'webgl2' | 'webgpu') {
    this.setAttribute('renderer', value);
  }

  get autorotate(): boolean {
    return this.hasAttribute('autorotate');
  }
  set autorotate(value: boolean) {
    this.toggleAttribute('autorotate', value);
  }

  /** What is drawn: points, the surface of `surfaceSrc`, or both. */
  get surface(): SurfaceMode {
    return surfaceModeFrom(this.getAttribute('surface'));
  }
  set surface(value: SurfaceMode) {
    this.setAttribute('surface', value);
  }

  /** Address of a GLB of triangles; it is fetched when it is first shown. */
  get surfaceSrc(): string {
    return this.getAttribute('surface-src') ?? '';
  }
  set surfaceSrc(value: string) {
    this.setAttribute('surface-src', value);
  }

  /** Whether a lamp shows the surface's shape; otherwise it has the photographs' own light. */
  get surfaceLit(): boolean {
    return this.hasAttribute('surface-lit');
  }
  set surfaceLit(value: boolean) {
    this.toggleAttribute('surface-lit', value);
  }

  /** Whether the box that marks something is shown, to be moved and sized by hand and keys. */
  get regionTool(): boolean {
    return this.hasAttribute('region-tool');
  }
  set regionTool(value: boolean) {
    this.toggleAttribute('region-tool', value);
  }
}
