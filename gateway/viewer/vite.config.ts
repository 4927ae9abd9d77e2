/**
 * Two builds: the app, into the gateway's package, and the element as a library, into dist/. A third,
 * mode "pages", makes the page on which tests and benchmarks run other viewers on the same files.
 */
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/**
 * Gives the lazy parts (WebGPU, the general glTF reader) a three.js of their own.
 *
 * Shared, every class that only they use would sit in the chunk that every page loads first. They
 * hand plain data to the rest, so nothing needs to be the same class.
 */
function ownThree(): Plugin {
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

export default defineConfig(({ mode }) => ({
  base: './',
  plugins: mode === 'pages' ? [] : [ownThree()],
  worker: { format: 'es' as const },
  build:
    mode === 'pages'
      ? {
          outDir: here('.pages_cache'),
          emptyOutDir: true,
          target: 'es2022',
          chunkSizeWarningLimit: 2000,
          rolldownOptions: { input: here('tests/pages/peers.html') },
        }
      : mode === 'lib'
        ? {
            outDir: here('dist'),
            emptyOutDir: true,
            target: 'es2022',
            modulePreload: { polyfill: false },
            chunkSizeWarningLimit: 700,
            // Not Vite's library mode, which would put every decoder as text into its chunk.
            rolldownOptions: {
              input: { 'epipar-viewer': here('src/lib.ts') },
              preserveEntrySignatures: 'strict' as const,
              output: {
                entryFileNames: '[name].js',
                chunkFileNames: 'chunks/[name]-[hash].js',
                assetFileNames: 'assets/[name]-[hash][extname]',
              },
            },
          }
        : {
            outDir: here('../src/epipar_gateway/web'),
            emptyOutDir: true,
            target: 'es2022',
          },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(
      ['/epipar.', '/files/', '/uploads'].map((prefix) => [
        prefix,
        process.env.EPIPAR_ADDRESS ?? 'http://127.0.0.1:8080',
      ]),
    ),
  },
  test: { include: ['tests/unit/**/*.test.ts'] },
}));
