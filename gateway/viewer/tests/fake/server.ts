/** The scripted gateway's HTTP: gRPC-Web, tus uploads, files, the built app, and levers for tests. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, resolve } from 'node:path';
import { makeRouter } from './services';
import { World } from './world';
import { roomGlb } from './room_glb';

export interface ServerOptions {
  readonly port: number;
  readonly web: string;
  readonly store: string;
  readonly scenes: string;
  readonly tickMs: number;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.glb': 'model/gltf-binary',
  '.jpg': 'image/jpeg',
  '.wasm': 'application/wasm',
};

export function startServer(options: ServerOptions): Promise<number> {
  let world = new World(options.scenes, options.store !== '');
  let handle = makeHandler(world, options);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    if (url.pathname === '/fake/reset') {
      world.cut();
      world = new World(url.searchParams.get('scenes') ?? 'full', options.store !== '');
      handle = makeHandler(world, options);
      response.end('{}');
      return;
    }
    handle(request, response, url).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  if (options.tickMs > 0) {
    setInterval(() => {
      for (const job of world.jobs) if (job.released < job.events.length) world.release(job, 1);
    }, options.tickMs);
  }
  return new Promise((resolve) => {
    server.listen(options.port, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>;

function makeHandler(world: World, options: ServerOptions): Handler {
  const routes = new Map(makeRouter(world).handlers.map((each) => [each.requestPath, each]));
  return async (request, response, url) => {
    const path = url.pathname;
    if (path.startsWith('/fake/')) return lever(world, url, response);
    if (world.away) return answer(response, 503, 'upstream connect error', 'text/plain');
    if (path === '/healthz') return answer(response, 200, 'ok', 'text/plain');
    const route = routes.get(path);
    if (route) return rpc(route, request, response, url);
    if (path.startsWith('/uploads')) return upload(world, request, response, path);
    if (path.startsWith('/files/'))
      return file(options.store, path.slice('/files/'.length), response);
    return file(options.web, path === '/' ? 'index.html' : path.slice(1), response);
  };
}

async function rpc(
  route: ReturnType<typeof makeRouter>['handlers'][number],
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => {
    gone.abort();
  });
  const said = await route({
    httpVersion: '1.1',
    url: url.href,
    method: request.method ?? 'POST',
    header: new Headers(request.headers as Record<string, string>),
    body: request,
    signal: gone.signal,
  });
  response.writeHead(said.status, Object.fromEntries(said.header ?? []));
  for await (const chunk of said.body ?? []) response.write(chunk);
  response.end();
}

async function lever(world: World, url: URL, response: ServerResponse): Promise<void> {
  const get = (name: string): string => url.searchParams.get(name) ?? '';
  const what = url.pathname.slice('/fake/'.length);
  const job = world.job(get('job'));
  if (what === 'release' && job) world.release(job, Number(get('count') || 1));
  if (what === 'cut') world.cut();
  if (what === 'away') world.away = get('on') === '1';
  if (what === 'completion') world.completionOff = get('off') === '1';
  if (what === 'away' && world.away) world.cut();
  const total = job?.events.length ?? 0;
  await answer(
    response,
    200,
    JSON.stringify({
      watches: world.watches,
      asked: world.asked,
      total,
      released: job?.released ?? 0,
    }),
    'application/json',
  );
}

async function upload(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): Promise<void> {
  response.setHeader('Tus-Resumable', '1.0.0');
  if (request.method === 'OPTIONS') {
    response.setHeader('Tus-Max-Size', '10000000000');
    return answer(response, 204, '');
  }
  if (request.method === 'POST') {
    const name = `uploads/u${Math.random().toString(36).slice(2, 10)}`;
    const metadata = String(request.headers['upload-metadata']);
    const title = Buffer.from(
      /display_name (\S+)/.exec(metadata)?.[1]?.replace(',', '') ?? '',
      'base64',
    ).toString();
    world.uploads.set(name, { title, size: Number(request.headers['upload-length']), offset: 0 });
    response.setHeader('Location', `/${name}`);
    return answer(response, 201, '');
  }
  const name = path.slice(1);
  const known = world.uploads.get(name);
  if (!known)
    return answer(
      response,
      404,
      JSON.stringify({ reason: 'NOT_FOUND', message: `"${name}" does not exist` }),
    );
  if (request.method === 'PATCH') {
    for await (const chunk of request) known.offset += (chunk as Buffer).length;
    if (known.offset === known.size) response.setHeader('Epipar-Upload', name);
  }
  if (request.method === 'DELETE') world.uploads.delete(name);
  response.setHeader('Upload-Offset', String(known.offset));
  response.setHeader('Upload-Length', String(known.size));
  if (request.method === 'GET') {
    const state = known.offset === known.size ? 'sealed' : 'receiving';
    return answer(
      response,
      200,
      JSON.stringify({ name, state, offset: known.offset, size: known.size }),
    );
  }
  return answer(response, request.method === 'HEAD' ? 200 : 204, '');
}

async function file(root: string, key: string, response: ServerResponse): Promise<void> {
  const at = join(resolve(root), normalize(decodeURIComponent(key)));
  if (root !== '' && at.startsWith(resolve(root)) && existsSync(at) && statSync(at).isFile()) {
    response.writeHead(200, { 'Content-Type': TYPES[extname(at)] ?? 'application/octet-stream' });
    createReadStream(at).pipe(response);
    return;
  }
  if (key.endsWith('.glb')) {
    response.writeHead(200, { 'Content-Type': 'model/gltf-binary' });
    response.end(roomGlb(key.includes('/completions/')));
    return;
  }
  if (key.endsWith('/completion.json')) {
    const filled = { reprojected: 830, plane: 165, free: 5, painted: 0, diffusion: 0 };
    return answer(response, 200, JSON.stringify({ filled }));
  }
  await answer(
    response,
    404,
    JSON.stringify({ reason: 'NOT_FOUND', message: `"${key}" does not exist` }),
  );
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'application/json',
): Promise<void> {
  response.writeHead(status, body === '' ? {} : { 'Content-Type': type });
  response.end(body);
  return Promise.resolve();
}
