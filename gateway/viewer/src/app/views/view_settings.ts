/** How a scene is shown: read from the address, kept in the address. */

export interface ViewSettings {
  readonly color: 'rgb' | 'confidence' | 'provenance';
  readonly cameras: boolean;
  readonly edl: boolean;
  readonly pointSize: number;
  readonly minConfidence: number;
  /** Points drawn at once; 0 for what suits the device. */
  readonly budget: number;
  readonly renderer: 'webgl2' | 'webgpu';
  /** What is drawn where there is a surface. */
  readonly surface: 'points' | 'surface' | 'both';
  readonly lit: boolean;
}

export const VIEW_DEFAULTS: ViewSettings = {
  color: 'rgb',
  cameras: false,
  edl: true,
  pointSize: 1,
  minConfidence: 0,
  budget: 0,
  renderer: 'webgl2',
  surface: 'points',
  lit: false,
};

const SURFACES = ['surface', 'both'] as const;
const COLORS = ['confidence', 'provenance'] as const;
export const POINT_SIZE = { min: 0.5, max: 4, step: 0.25 } as const;
export const BUDGETS = [0, 250_000, 500_000, 1_000_000, 2_000_000, 5_000_000] as const;

/** Read the settings; what is missing or out of bounds is the default. */
export function readSettings(params: URLSearchParams): ViewSettings {
  return {
    color: COLORS.find((color) => color === params.get('color')) ?? 'rgb',
    cameras: params.get('show') === 'cameras',
    edl: params.get('edl') !== '0',
    pointSize: numberIn(
      params.get('size'),
      POINT_SIZE.min,
      POINT_SIZE.max,
      VIEW_DEFAULTS.pointSize,
    ),
    minConfidence: numberIn(params.get('min'), 0, 1, VIEW_DEFAULTS.minConfidence),
    budget: numberIn(params.get('budget'), 0, 10_000_000, VIEW_DEFAULTS.budget),
    renderer: params.get('renderer') === 'webgpu' ? 'webgpu' : 'webgl2',
    surface: SURFACES.find((mode) => mode === params.get('as')) ?? 'points',
    lit: params.get('lit') === '1',
  };
}

/** What to put into the address; null removes what is the default. */
export function paramsOf(settings: ViewSettings): Record<string, string | null> {
  const { color, cameras, edl, pointSize, minConfidence, budget, renderer, surface, lit } = settings; // prettier-ignore
  return {
    color: color === 'rgb' ? null : color,
    show: cameras ? 'cameras' : null,
    edl: edl ? null : '0',
    size: pointSize === VIEW_DEFAULTS.pointSize ? null : String(pointSize),
    min: minConfidence === 0 ? null : String(minConfidence),
    budget: budget === 0 ? null : String(budget),
    renderer: renderer === 'webgl2' ? null : renderer,
    as: surface === 'points' ? null : surface,
    lit: lit ? '1' : null,
  };
}

function numberIn(text: string | null, least: number, most: number, otherwise: number): number {
  const value = Number(text ?? Number.NaN);
  return text !== null && text !== '' && value >= least && value <= most ? value : otherwise;
}
