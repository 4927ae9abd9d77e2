/** Makes the backend that is asked for, or the one that works. */
import { viewerErrorFrom } from '../core/errors';
import type { Backend } from '../three/backend';
import { WebGlBackend } from '../three/webgl_backend';

/**
 * Return WebGL2, or WebGPU where it is asked for and works.
 *
 * @returns the backend, and a note that says why WebGPU is not used although asked for
 */
export async function makeBackend(
  wanted: 'webgl2' | 'webgpu',
  canvas: HTMLCanvasElement,
  onLost: () => void,
  onRestored: () => void,
): Promise<{ backend: Backend; note: string }> {
  let note = '';
  if (wanted === 'webgpu') {
    try {
      const { WebGpuBackend } = await import('../three/webgpu_backend');
      return { backend: await WebGpuBackend.create(canvas, onLost), note };
    } catch (thrown) {
      note = `WebGL2 draws instead of WebGPU: ${viewerErrorFrom(thrown).message}`;
    }
  }
  return { backend: new WebGlBackend(canvas, { onLost, onRestored }), note };
}
