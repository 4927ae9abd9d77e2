/**
 * After `vite build`: writes .br, .zst and .gz beside each asset, for the gateway to serve, and
 * prints what a browser loads, and when.
 *
 *   node tools/web_assets.mjs [--dir ../src/epipar_gateway/web] [--json]
 */
import console from 'node:console';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, URL } from 'node:url';
import { parseArgs } from 'node:util';
import zlib from 'node:zlib';

const { constants } = zlib;
const ENCODERS = {
  '.gz': (data) => zlib.gzipSync(data, { level: 9 }),
  '.br': (data) =>
    zlib.brotliCompressSync(data, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_SIZE_HINT]: data.length,
      },
    }),
  // Node has zstd from 22.15 on; without it the other two serve.
  ...(zlib.zstdCompressSync && {
    '.zst': (data) =>
      zlib.zstdCompressSync(data, { params: { [constants.ZSTD_c_compressionLevel]: 19 } }),
  }),
};
const COMPRESSIBLE = /\.(js|css|html|svg|json|wasm)$/;
const LEAST_BYTES = 512;
/**
 * Chunks that most pages never load: DESIGN §8 counts the app without them. The box tool comes with
 * its first use, and so do surfaces; decoding outside of the worker (which is a part of the viewer's
 * chunk) where a page forbids workers from blobs; the digest with uploads that are too large for the
 * browser's own.
 */
const OPTIONAL =
  /webgpu_backend|general_glb|surface_layer|draco|region_tool|(?:^|\/)(?:decode|srgb|digest_worker)-/;
/** DESIGN §8, gzip. */
const MOST_APP_BYTES = 220_000;

const { values } = parseArgs({
  options: { dir: { type: 'string' }, json: { type: 'boolean', default: false } },
});
const dir = values.dir ?? fileURLToPath(new URL('../../src/epipar_gateway/web', import.meta.url));
const sizes = compressAll(dir);
const groups = groupsOf(readManifest(dir), sizes);
const { '.gz': appBytes } = appOf(groups);
console.log(values.json ? JSON.stringify(groups) : table(groups));

if (appBytes > MOST_APP_BYTES) {
  console.error(`the app has ${appBytes} bytes (gzip); at most ${MOST_APP_BYTES} are wanted`);
  process.exitCode = 1;
}

/** Write the siblings; return sizes by file: raw, and by suffix. */
function compressAll(root) {
  const found = {};
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    const name = path.relative(root, file);
    if (!entry.isFile() || !COMPRESSIBLE.test(name) || name.startsWith('.vite')) continue;
    const data = fs.readFileSync(file);
    const size = { raw: data.length };
    for (const [suffix, encode] of Object.entries(ENCODERS)) {
      const encoded = encode(data);
      size[suffix] = Math.min(encoded.length, data.length);
      if (data.length >= LEAST_BYTES && encoded.length < data.length) {
        fs.writeFileSync(`${file}${suffix}.part`, encoded);
        fs.renameSync(`${file}${suffix}.part`, `${file}${suffix}`);
      }
    }
    found[name] = size;
  }
  return found;
}

/** What imports what; the file itself is of no use to a browser. */
function readManifest(root) {
  const file = path.join(root, '.vite/manifest.json');
  const manifest = JSON.parse(fs.readFileSync(file, 'utf8'));
  return manifest;
}

/** Sort the files by when they are loaded. */
function groupsOf(manifest, sizes) {
  const closure = (keys, follow) => {
    const seen = new Set();
    const visit = (key) => {
      if (seen.has(key) || !manifest[key]) return;
      seen.add(key);
      for (const next of follow(manifest[key])) visit(next);
    };
    keys.forEach(visit);
    return filesOf([...seen].map((key) => manifest[key]));
  };
  const isOptional = (key) => OPTIONAL.test(manifest[key]?.file ?? key);
  const statics = ({ imports = [] }) => imports;
  const all = ({ imports = [], dynamicImports = [] }) =>
    [...imports, ...dynamicImports].filter((key) => !isOptional(key));
  const first = closure(['index.html'], statics);
  first.add('index.html');
  const needed = closure(['index.html'], all);
  const upload = new Set([...needed].filter((name) => /tus|browser-/.test(name)));
  const scene = new Set([...needed].filter((name) => !first.has(name) && !upload.has(name)));
  const rest = Object.keys(sizes).filter(
    (name) => ![first, scene, upload].some((group) => group.has(name)),
  );
  return {
    first: sum(first, sizes),
    scene: sum(scene, sizes),
    upload: sum(upload, sizes),
    optional: sum(rest, sizes),
  };
}

function filesOf(chunks) {
  return new Set(chunks.flatMap(({ file, css = [], assets = [] }) => [file, ...css, ...assets]));
}

function sum(names, sizes) {
  const total = { files: [], raw: 0 };
  for (const name of [...names].sort()) {
    if (!sizes[name]) continue;
    total.files.push(name);
    for (const [key, value] of Object.entries(sizes[name])) total[key] = (total[key] ?? 0) + value;
  }
  return total;
}

/** What all three groups come to. */
function appOf(groups) {
  const app = {};
  for (const group of [groups.first, groups.scene, groups.upload])
    for (const key of ['raw', '.gz', '.br', '.zst']) app[key] = (app[key] ?? 0) + (group[key] ?? 0);
  return app;
}

function table(groups) {
  const kb = (value = 0) => (value / 1000).toFixed(1).padStart(8);
  const row = (name, group) =>
    `${name.padEnd(28)}${kb(group.raw)}${kb(group['.gz'])}${kb(group['.br'])}${kb(group['.zst'])}`;
  const app = appOf(groups);
  return [
    `${'kB'.padEnd(28)}${['raw', 'gzip', 'brotli', 'zstd'].map((name) => name.padStart(8)).join('')}`,
    row('first page', groups.first),
    row('+ with the first scene', groups.scene),
    row('+ with the first upload', groups.upload),
    row('= the app', app),
    row('optional (WebGPU, Draco …)', groups.optional),
  ].join('\n');
}
