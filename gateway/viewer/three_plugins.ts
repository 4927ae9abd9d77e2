/** How three.js gets into the builds: slim where every page loads it, whole where it is lazy. */
import type { Plugin } from 'vite';

/**
 * Gives the lazy parts (WebGPU, the general glTF reader) a three.js of their own.
 *
 * Shared, every class that only they use would sit in the chunk that every page loads first. They
 * hand plain data to the rest, so nothing needs to be the same class.
 */
export function ownThree(): Plugin {
  const isLazy =
    /three\/(webgpu_backend|general_glb)\.ts$|three\.webgpu|three\.tsl|GLTFLoader|DRACOLoader|[?&]own/;
  return {
    name: 'own-three',
    enforce: 'pre',
    async resolveId(source, importer) {
      if (importer === undefined || !isLazy.test(importer)) return null;
      const found = await this.resolve(source, importer, { skipSelf: true });
      if (found === null || !/node_modules\/three\//.test(found.id)) return null;
      return found.id.includes('?own') ? found : { ...found, id: `${found.id}?own` };
    },
    // three.js warns of a second copy; here, and beside a page's own, a second copy is meant.
    transform(code, id) {
      if (!code.includes('__THREE__')) return null;
      return { code: code.replaceAll('__THREE__', id.includes('?own') ? '__EPIPAR_OWN__' : '__EPIPAR__'), map: null }; // prettier-ignore
    },
  };
}

/** Parts of the WebGL renderer that raw shaders never reach, and what stands in for them. */
const UNUSED: Readonly<Record<string, string>> = {
  'renderers/shaders/ShaderChunk.js': 'export const ShaderChunk = {};',
  'renderers/shaders/ShaderLib.js': 'export const ShaderLib = {};',
  'renderers/shaders/DFGLUTData.js': 'export const getDFGLUT = () => null;',
  'renderers/webgl/WebGLShadowMap.js': `export class WebGLShadowMap {
    enabled = false; autoUpdate = false; needsUpdate = false; type = 0; render() {} }`,
  'renderers/webgl/WebGLEnvironments.js': `export function WebGLEnvironments() {
    return { get: (texture) => texture, dispose() {} }; }`,
  'renderers/webgl/WebGLLights.js': `export function WebGLLights() {
    const none = [];
    const state = { version: 0, numSpotLightShadowsWithMaps: 0, numLightProbes: 0 };
    for (const kind of ['sun', 'directional', 'point', 'spot', 'rectArea', 'hemi', 'spotLightMap',
      'sunShadowMap', 'directionalShadowMap', 'pointShadowMap', 'spotShadowMap']) state[kind] = none;
    return { state, setup() {}, setupView() {} }; }`,
  'renderers/webgl/WebGLMaterials.js': `export function WebGLMaterials() {
    return { refreshFogUniforms() {}, refreshMaterialUniforms(uniforms, material) {
      material.uniformsNeedUpdate = false; } }; }`,
  'renderers/webgl/WebGLOutput.js': 'export function WebGLOutput() {}',
  'renderers/webxr/WebXRManager.js': `export class WebXRManager {
    enabled = false; isPresenting = false; cameraAutoUpdate = false;
    addEventListener() {} removeEventListener() {} setAnimationLoop() {} dispose() {}
    hasDepthSensing() { return false; } getEnvironmentBlendMode() { return 'opaque'; } }`,
};

/**
 * Takes three.js from its sources and leaves out built-in materials, lights, shadows, environments and XR.
 *
 * All that the element draws has shaders of its own. The files named above are checked to exist, so
 * that a new three.js that moves them stops the build.
 */
export function slimThree(): Plugin {
  const missing = new Set(Object.keys(UNUSED));
  return {
    name: 'slim-three',
    enforce: 'pre',
    apply: 'build',
    async resolveId(source, importer) {
      if (source !== 'three' || importer?.includes('?own') === true) return null;
      return this.resolve('three/src/Three.js', importer, { skipSelf: true });
    },
    load(id) {
      const file = /node_modules\/three\/src\/([^?]+)$/.exec(id)?.[1];
      if (file === undefined || UNUSED[file] === undefined) return null;
      missing.delete(file);
      return { code: UNUSED[file], moduleSideEffects: false };
    },
    buildEnd(error) {
      if (error === undefined && missing.size > 0)
        throw new Error(`three.js has no ${[...missing].join(', ')} any more`);
    },
  };
}
