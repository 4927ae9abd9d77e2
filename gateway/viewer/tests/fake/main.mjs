/**
 * Starts the scripted gateway: `node tests/fake/main.mjs [--port 0] [--web DIR] [--store DIR]
 * [--scenes full|empty] [--tick-ms 0]`; one ready line of JSON on stdout, ends with its stdin.
 */
import console from 'node:console';
import process from 'node:process';
import { URL } from 'node:url';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    web: { type: 'string', default: '' },
    store: { type: 'string', default: '' },
    scenes: { type: 'string', default: 'full' },
    'tick-ms': { type: 'string', default: '0' },
  },
});
const vite = await createServer({
  configFile: false,
  root: fileURLToPath(new URL('../..', import.meta.url)),
  logLevel: 'error',
  appType: 'custom',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
});
const { startServer } = await vite.ssrLoadModule('/tests/fake/server.ts');
const port = await startServer({
  port: Number(values.port),
  web: values.web,
  store: values.store,
  scenes: values.scenes,
  tickMs: Number(values['tick-ms']),
});
console.log(JSON.stringify({ event: 'ready', service: 'scripted', address: `127.0.0.1:${port}` }));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
