/** The element's attributes as typed values, each with its default and its bounds. */
import type { ColorMode, SurfaceMode } from '../three/backend';

export const ATTRIBUTES = [
  'src', 'cameras', 'point-budget', 'color-mode', 'edl', 'point-size', 'min-confidence',
  'show-cameras', 'renderer', 'autorotate', 'label',
  'region-tool', 'surface', 'surface-src', 'surface-lit',
] as const; // prettier-ignore

/** Read a number between bounds; anything else gives the default. */
export function numberFrom(text: string | null, least: number, most: number, otherwise: number) {
  if (text === null || text.trim() === '') return otherwise;
  const value = Number(text);
  return Number.isNaN(value) ? otherwise : Math.min(Math.max(value, least), most);
}

export function colorModeFrom(text: string | null): ColorMode {
  return text === 'confidence' || text === 'provenance' ? text : 'rgb';
}

export function surfaceModeFrom(text: string | null): SurfaceMode {
  return text === 'surface' || text === 'both' ? text : 'points';
}

export function rendererFrom(text: string | null): 'webgl2' | 'webgpu' {
  return text === 'webgpu' ? 'webgpu' : 'webgl2';
}

/** Return 500,000 points on phones and tablets, 2,000,000 elsewhere. */
export function defaultPointBudget(): number {
  const isHandheld = matchMedia('(pointer: coarse)').matches || innerWidth < 700;
  return isHandheld ? 500_000 : 2_000_000;
}
