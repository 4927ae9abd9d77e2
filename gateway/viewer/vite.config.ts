/**
 * Two builds: the app, into the gateway's package, and the element as a library, into dist/. A third,
 * mode "pages", makes the page on which tests and benchmarks run other viewers on the same files.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { binaryProtobuf } from './protobuf_plugin';
import { ownThree, slimThree } from './three_plugins';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  base: './',
  plugins: mode === 'pages' ? [] : [ownThree(), slimThree(), binaryProtobuf()],
  worker: { format: 'es' as const },
  resolve: {
    alias: {
      'js-base64': here('src/app/upload/shims/js_base64.ts'),
      'url-parse': here('src/app/upload/shims/url_parse.ts'),
    },
  },
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
            // tools/web_assets.mjs reads it for the table of sizes.
            manifest: true,
            chunkSizeWarningLimit: 700,
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
