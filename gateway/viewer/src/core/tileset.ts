/**
 * Reads a tileset.json into octree nodes and checks everything on the way.
 *
 * Source: OGC 3D Tiles 1.1 (22-025r4); explicit tiling, boxes and spheres, GLB contents and
 * external tilesets. Regions (geographic) and implicit tiling are refused.
 */
import { sceneTransformFromTile, SCENE_FROM_TILESET } from './axes';
import { ViewerError } from './errors';
import type { TilesetLimits } from './limits';
import { type Box, boxAround, IDENTITY, type Mat4, multiply, type Vec3 } from './math';
import { OctreeNode } from './octree';

export interface TilesetContext<Content> {
  /** Absolute address of the file. */
  readonly url: string;
  /** The node that this tileset hangs under; undefined for the first one. */
  readonly parent?: OctreeNode<Content>;
  /** Tiles that other tilesets of the same tree have already. */
  readonly tilesBefore: number;
  readonly limits: TilesetLimits;
}

export interface ParsedTileset<Content> {
  readonly root: OctreeNode<Content>;
  readonly tiles: number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Read a tileset.
 *
 * @throws ViewerError BAD_TILESET for what is not a tileset, UNSUPPORTED for what this reader does
 *   not know, LIMIT for too many tiles or levels
 */
export function parseTileset<Content>(
  text: string,
  context: TilesetContext<Content>,
): ParsedTileset<Content> {
  const reader = new Reader(context);
  const root = reader.tileset(text);
  return { root, tiles: reader.tiles };
}

class Reader<Content> {
  tiles = 0;

  constructor(private readonly context: TilesetContext<Content>) {}

  tileset(text: string): OctreeNode<Content> {
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch (thrown) {
      throw this.bad(`is not JSON: ${(thrown as Error).message}`);
    }
    const tileset = this.object(document, 'the file');
    const version = this.object(tileset.asset, 'asset').version;
    if (version !== '1.0' && version !== '1.1')
      throw this.bad(`asset.version is ${JSON.stringify(version)}; it must be "1.0" or "1.1"`);
    const { parent } = this.context;
    return this.tile(
      this.object(tileset.root, 'root'),
      'root',
      parent,
      parent === undefined ? IDENTITY : parent.transform,
      parent?.replaces ?? true,
    );
  }

  private tile(
    tile: Json,
    path: string,
    parent: OctreeNode<Content> | undefined,
    parentTransform: Mat4,
    replacesByDefault: boolean,
  ): OctreeNode<Content> {
    const { limits, tilesBefore } = this.context;
    const depth = parent === undefined ? 0 : parent.depth + 1;
    if (depth >= limits.depth)
      throw new ViewerError('LIMIT', `${path} is deeper than ${limits.depth} levels`);
    this.tiles += 1;
    if (tilesBefore + this.tiles > limits.tiles)
      throw new ViewerError('LIMIT', `there are more than ${limits.tiles} tiles`);
    if (tile.implicitTiling !== undefined)
      throw new ViewerError('UNSUPPORTED', `${path} uses implicit tiling`);

    const transform = multiply(parentTransform, sceneTransformFromTile(this.matrix(tile, path)));
    const url = this.contentUrl(tile, path);
    const isTileset = url !== undefined && new URL(url).pathname.endsWith('.json');
    const refine = tile.refine ?? (replacesByDefault ? 'REPLACE' : 'ADD');
    if (refine !== 'ADD' && refine !== 'REPLACE')
      throw this.bad(`${path}.refine is ${JSON.stringify(refine)}; it must be "ADD" or "REPLACE"`);
    const node = new OctreeNode<Content>(
      url,
      isTileset,
      this.amount(tile.geometricError, `${path}.geometricError`),
      this.box(tile, path, transform),
      transform,
      refine === 'REPLACE',
      depth,
      parent,
    );
    const children = tile.children ?? [];
    if (!Array.isArray(children)) throw this.bad(`${path}.children is not a list`);
    node.children = children.map((child: unknown, index) => {
      const name = `${path}.children[${index}]`;
      return this.tile(this.object(child, name), name, node, transform, node.replaces);
    });
    return node;
  }

  private contentUrl(tile: Json, path: string): string | undefined {
    if (tile.content === undefined) return undefined;
    const content = this.object(tile.content, `${path}.content`);
    const uri = content.uri ?? content.url;
    if (typeof uri !== 'string' || uri === '') throw this.bad(`${path}.content.uri is no address`);
    if (!URL.canParse(uri, this.context.url))
      throw this.bad(`${path}.content.uri is ${JSON.stringify(uri)}, which is no address`);
    const url = new URL(uri, this.context.url);
    if (!['http:', 'https:'].includes(url.protocol))
      throw this.bad(`${path}.content.uri has the protocol ${url.protocol}; it must be http(s)`);
    return url.href;
  }

  private matrix(tile: Json, path: string): Mat4 | undefined {
    if (tile.transform === undefined) return undefined;
    return this.numbers(tile.transform, 16, `${path}.transform`);
  }

  private box(tile: Json, path: string, transform: Mat4): Box {
    const where = `${path}.boundingVolume`;
    const volume = this.object(tile.boundingVolume, where);
    // The transform is between y-up axes, the volume is z up.
    const fromVolume = multiply(transform, SCENE_FROM_TILESET);
    if (volume.box !== undefined) {
      const b = this.numbers(volume.box, 12, `${where}.box`);
      const part = (i: number): Vec3 => [b[i]!, b[i + 1]!, b[i + 2]!];
      return boxAround(fromVolume, part(0), [part(3), part(6), part(9)]);
    }
    if (volume.sphere !== undefined) {
      const s = this.numbers(volume.sphere, 4, `${where}.sphere`);
      const r = this.amount(s[3], `${where}.sphere[3]`);
      const center: Vec3 = [s[0]!, s[1]!, s[2]!];
      return boxAround(fromVolume, center, [[r, 0, 0], [0, r, 0], [0, 0, r]]); // prettier-ignore
    }
    throw new ViewerError('UNSUPPORTED', `${where} is neither a box nor a sphere`);
  }

  private object(value: unknown, path: string): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.bad(`${path} is not an object`);
    return value as Json;
  }

  private numbers(value: unknown, count: number, path: string): number[] {
    if (!Array.isArray(value) || value.length !== count || !value.every(Number.isFinite))
      throw this.bad(`${path} is not ${count} finite numbers`);
    return value as number[];
  }

  private amount(value: unknown, path: string): number {
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
      throw this.bad(`${path} is ${JSON.stringify(value)}; it must be a number, at least 0`);
    return value;
  }

  private bad(what: string): ViewerError {
    return new ViewerError('BAD_TILESET', `${this.context.url}: ${what}`);
  }
}
