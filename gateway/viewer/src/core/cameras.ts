/** Reads the cameras of a transforms.json (nerfstudio) into the scene's axes. */
import { SCENE_FROM_WORLD } from './axes';
import { ViewerError } from './errors';
import { type Mat4, multiply } from './math';

export interface SceneCamera {
  readonly name: string;
  /** OpenGL camera-to-scene: x right, y up, looking along −z. */
  readonly matrix: Mat4;
  /** Half the picture's width and height at distance 1. */
  readonly halfWidth: number;
  readonly halfHeight: number;
}

const MOST_CAMERAS = 100_000;

/** Read cameras; throws ViewerError BAD_CAMERAS that names what is wrong. */
export function parseCameras(text: string): SceneCamera[] {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (thrown) {
    throw bad(`is not JSON: ${(thrown as Error).message}`);
  }
  const file = document as Record<string, unknown> | null;
  const frames: unknown = typeof file === 'object' && file !== null ? file.frames : undefined;
  if (!Array.isArray(frames)) throw bad('has no list of frames');
  if (frames.length > MOST_CAMERAS)
    throw bad(`has ${frames.length} frames; at most ${MOST_CAMERAS}`);
  return frames.map((frame: unknown, index) =>
    cameraFrom({ ...file, ...(frame as Record<string, unknown>) }, index),
  );
}

function cameraFrom(frame: Record<string, unknown>, index: number): SceneCamera {
  const number = (key: string): number => {
    const value = frame[key];
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
      throw bad(`frames[${index}].${key} is ${JSON.stringify(value)}; it must be above 0`);
    return value;
  };
  const rows = frame.transform_matrix;
  const isMatrix =
    Array.isArray(rows) &&
    (rows.length === 4 || rows.length === 3) &&
    rows.every((r) => Array.isArray(r) && r.length === 4 && r.every(Number.isFinite));
  if (!isMatrix) throw bad(`frames[${index}].transform_matrix is not 4×4 finite numbers`);
  const m = rows as number[][];
  const columns: number[] = [];
  for (let column = 0; column < 4; column++)
    columns.push(m[0]![column]!, m[1]![column]!, m[2]![column]!, column === 3 ? 1 : 0);
  const path = typeof frame.file_path === 'string' ? frame.file_path : `camera ${index + 1}`;
  return {
    name: path.split('/').at(-1) ?? path,
    matrix: multiply(SCENE_FROM_WORLD, columns),
    halfWidth: number('w') / 2 / number('fl_x'),
    halfHeight: number('h') / 2 / number('fl_y'),
  };
}

function bad(what: string): ViewerError {
  return new ViewerError('BAD_CAMERAS', `the cameras' file ${what}`);
}
