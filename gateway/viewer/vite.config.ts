/** Two builds: the app, into the gateway's package, and the element as a library, into dist/. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => ({
  base: './',
  worker: { format: 'es' as const },
  build:
    mode === 'lib'
      ? {
          outDir: here('dist'),
          emptyOutDir: true,
          target: 'es2022',
          lib: { entry: here('src/lib.ts'), formats: ['es' as const], fileName: 'epipar-viewer' },
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
