import { describe, expect, it } from 'vitest';
import { ViewerError } from '../../../src/core/errors';
import type { OctreeNode } from '../../../src/core/octree';
import { type TileContent, TileStream } from '../../../src/core/tile_stream';
import { viewFrom } from './trees';

const BOX = [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5];
const options = { pointBudget: 1e6, targetError: 1 };
const view = viewFrom([-1, 0, 0]);

interface Content extends TileContent {
  readonly url: string;
}

function tile(uri: string, children: object[] = []): object {
  return { boundingVolume: { box: BOX }, geometricError: children.length > 0 ? 1 : 0, content: { uri }, children }; // prettier-ignore
}

/** A server in memory whose answers the test gives one by one. */
class Server {
  readonly asked: string[] = [];
  readonly aborted: string[] = [];
  readonly disposed: string[] = [];
  failures: Record<string, ViewerError[]> = {};
  isHeld = false;

  constructor(private readonly files: Record<string, object>) {}

  text(url: string): Promise<string> {
    const found = this.files[new URL(url).pathname];
    if (found === undefined) return Promise.reject(new ViewerError('HTTP_STATUS', 'no such file'));
    return Promise.resolve(JSON.stringify(found));
  }

  content(_node: OctreeNode<Content>, url: string, signal: AbortSignal): Promise<Content> {
    const name = new URL(url).pathname.slice(1);
    this.asked.push(name);
    const failure = this.failures[name]?.shift();
    if (failure !== undefined) return Promise.reject(failure);
    if (this.isHeld)
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          this.aborted.push(name);
          reject(signal.reason as Error);
        });
      });
    const dispose = (): void => { this.disposed.push(name); }; // prettier-ignore
    return Promise.resolve({ url: name, points: 10, bytes: 100, dispose });
  }
}

async function opened(server: Server, more: object = {}) {
  const errors: [string, string][] = [];
  const stream = new TileStream<Content>(
    server,
    {
      onChange: () => undefined,
      onTileError: (url, error) => errors.push([new URL(url).pathname, error.reason]),
    },
    { backoffMs: 0, ...more },
  );
  await stream.open('http://x/tileset.json', new AbortController().signal);
  const settle = async (at = view): Promise<string[]> => {
    for (let turn = 0; turn < 50; turn++) {
      stream.update(at, options);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return stream
      .update(at, options)
      .drawn.map((node) => node.content!.url)
      .sort();
  };
  return { stream, errors, settle };
}

const tileset = (root: object): object => ({ asset: { version: '1.1' }, geometricError: 9, root: { refine: 'ADD', ...root } }); // prettier-ignore

describe('TileStream', () => {
  it('loads the tree from the root down and settles', async () => {
    const server = new Server({
      '/tileset.json': tileset(tile('a.glb', [tile('b.glb'), tile('c.glb')])),
    });
    const { stream, settle } = await opened(server);
    expect(stream.isSettled).toBe(true);
    expect(await settle()).toEqual(['a.glb', 'b.glb', 'c.glb']);
    expect(server.asked[0]).toBe('a.glb');
    expect(stream.isSettled).toBe(true);
    expect(stream.pointsResident).toBe(30);
  });

  it('goes on through external tilesets', async () => {
    const server = new Server({
      '/tileset.json': tileset(tile('a.glb', [tile('more.json')])),
      '/more.json': tileset(tile('b.glb')),
    });
    const { settle } = await opened(server);
    expect(await settle()).toEqual(['a.glb', 'b.glb']);
  });

  it('refuses a tileset that holds itself, and draws the rest', async () => {
    const root = tileset(tile('a.glb', [tile('tileset.json')]));
    const { settle, errors } = await opened(new Server({ '/tileset.json': root }));
    expect((await settle()).length).toBeGreaterThan(0);
    expect(errors.at(-1)?.[1]).toBe('LIMIT');
  });

  it('reports a broken tile once and draws the rest, also what lies below it', async () => {
    const server = new Server({
      '/tileset.json': tileset(tile('a.glb', [tile('b.glb', [tile('d.glb')]), tile('c.glb')])),
    });
    server.failures['b.glb'] = [new ViewerError('BAD_CONTENT', 'broken')];
    const { settle, errors } = await opened(server);
    expect(await settle()).toEqual(['a.glb', 'c.glb', 'd.glb']);
    expect(errors).toEqual([['/b.glb', 'BAD_CONTENT']]);
    expect(server.asked.filter((name) => name === 'b.glb')).toHaveLength(1);
  });

  it('draws what lies below a broken root, and settles where all is broken', async () => {
    const broken = (): ViewerError[] => [new ViewerError('BAD_CONTENT', 'broken')];
    const server = new Server({ '/tileset.json': tileset(tile('a.glb', [tile('b.glb')])) });
    server.failures = { 'a.glb': broken() };
    expect(await (await opened(server)).settle()).toEqual(['b.glb']);
    server.failures = { 'a.glb': broken(), 'b.glb': broken() };
    const { stream, settle, errors } = await opened(server);
    expect(await settle()).toEqual([]);
    expect([stream.isSettled, errors.length]).toEqual([true, 2]);
  });

  it('tries again after a failure that may pass, and gives up after three', async () => {
    const lost = (): ViewerError => new ViewerError('NETWORK', 'lost', true);
    const server = new Server({
      '/tileset.json': tileset(tile('a.glb', [tile('b.glb'), tile('c.glb')])),
    });
    server.failures = { 'b.glb': [lost(), lost()], 'c.glb': [lost(), lost(), lost(), lost()] };
    const { settle, errors } = await opened(server);
    expect(await settle()).toEqual(['a.glb', 'b.glb']);
    expect(errors).toEqual([['/c.glb', 'NETWORK']]);
    expect(server.asked.filter((name) => name === 'c.glb')).toHaveLength(3);
  });

  it('runs no more loads at once than allowed, and aborts what is no longer wanted', async () => {
    const children = Array.from({ length: 9 }, (_, i) => tile(`${i}.glb`));
    const server = new Server({ '/tileset.json': tileset(tile('a.glb', children)) });
    const { stream, settle } = await opened(server, { concurrency: 4 });
    await settle(viewFrom([-9e9, 0, 0]));
    server.isHeld = true;
    await settle();
    expect(stream.nodesLoading).toBe(4);
    await settle(viewFrom([-9e9, 0, 0]));
    expect(stream.nodesLoading).toBe(0);
    expect(server.aborted).toHaveLength(4);
  });

  it('stays below its memory by giving up what was drawn longest ago', async () => {
    const server = new Server({
      '/tileset.json': tileset(tile('a.glb', [tile('b.glb'), tile('c.glb')])),
    });
    const { stream, settle } = await opened(server, { memoryBytes: 250 });
    await settle();
    // All three are drawn: what is seen stays, whatever the bound.
    expect(server.disposed).toEqual([]);
    expect(await settle(viewFrom([-9e9, 0, 0]))).toEqual(['a.glb']);
    expect(server.disposed).toHaveLength(1);
    expect(stream.pointsResident).toBe(20);
    stream.dispose();
    expect(server.disposed.sort()).toEqual(['a.glb', 'b.glb', 'c.glb']);
    expect(stream.pointsResident).toBe(0);
  });
});
