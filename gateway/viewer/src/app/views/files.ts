/** Files of scenes: their addresses and the JSON among them. */
import type { Artifact } from '../../gen/epipar/common/v1/artifact_pb';
import { problemOfHttp, ProblemError } from '../api/errors';
import { bytes, compact } from '../format';

/** The address of an artifact; its hash lets caches keep it for good. */
export function fileUrl(artifact: Pick<Artifact, 'uri' | 'sha256'>): string {
  const path = artifact.uri.split('/').map(encodeURIComponent).join('/');
  return `/files/${path}${artifact.sha256 ? `?v=${artifact.sha256.slice(0, 16)}` : ''}`;
}

export const findFile = (files: readonly Artifact[], name: string): Artifact | undefined =>
  files.find((file) => file.name === name || file.name.endsWith(`/${name}`));

/** Fetch a JSON file. Throws ProblemError where the server refuses it. */
export async function fetchJson(artifact: Artifact, signal: AbortSignal): Promise<unknown> {
  const answer = await fetch(fileUrl(artifact), { signal });
  if (!answer.ok) throw new ProblemError(problemOfHttp(answer.status, await answer.text()));
  return answer.json();
}

/** JSON files that are an extra: fetched once each, and simply absent where they cannot be had. */
export class JsonFiles {
  private readonly fetched = new Map<string, unknown>();
  private fetching = new AbortController();

  open(): void {
    this.fetching = new AbortController();
  }

  /** End what is being fetched. */
  close(): void {
    this.fetching.abort();
  }

  async get(file: Artifact | undefined): Promise<unknown> {
    if (!file) return undefined;
    const key = `${file.uri} ${file.sha256}`;
    try {
      if (!this.fetched.has(key))
        this.fetched.set(key, await fetchJson(file, this.fetching.signal));
      return this.fetched.get(key);
    } catch {
      return undefined;
    }
  }
}

/** What scene.json says that a person wants to know. Missing parts stay away. */
export interface SceneFacts {
  readonly engine?: { readonly name?: string; readonly version?: string };
  readonly source?: { readonly name?: string; readonly size_bytes?: number };
  readonly scale?: string;
  readonly confidence_kind?: string;
  readonly counts?: Readonly<Record<string, number>>;
  readonly timings?: Readonly<Record<string, number>>;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly unregistered?: readonly (string | number)[];
}

/** What completion.json says. */
export interface CompletionFacts {
  /** Pixels by where they come from. */
  readonly filled?: Readonly<Record<string, number>>;
}

/** What export.json says. */
export interface ExportFacts {
  readonly options?: { readonly codec?: string; readonly position_bits?: number };
  readonly levels?: readonly {
    readonly name?: string;
    readonly points?: number;
    readonly size_bytes?: number;
  }[];
  readonly tiles?: { readonly tiles?: number; readonly size_bytes?: number };
  readonly grid?: {
    readonly bounding_box?: { readonly min?: number[]; readonly max?: number[] };
  };
}

/** What each file of an export is, for people, in the order to show them. */
const DOWNLOADS: readonly (readonly [string, string])[] = [
  ['scene_preview.glb', 'Preview, GLB'],
  ['scene_medium.glb', 'Medium, GLB'],
  ['scene_full.glb', 'Full, GLB'],
  ['surface_preview.glb', 'Surface preview, GLB'],
  ['surface_medium.glb', 'Surface medium, GLB'],
  ['surface_full.glb', 'Surface full, GLB'],
  ['cloud.ply', 'Point cloud, PLY'],
  ['tileset.json', '3D Tiles'],
  ['transforms.json', 'Cameras, nerfstudio'],
  ['completion.json', 'How it was filled, JSON'],
];

export interface Download {
  readonly file: Artifact;
  readonly title: string;
  readonly facts: string;
}

/** Files worth downloading, with points and sizes where they are known. */
export function downloadsOf(
  files: readonly Artifact[],
  facts: ExportFacts | undefined,
): Download[] {
  const known = DOWNLOADS.flatMap(([name, title]) => {
    const file = findFile(files, name);
    return file ? [{ file, title, facts: factsOf(file, facts) }] : [];
  });
  const others = files
    .filter((file) => file.name.endsWith('.glb') && !known.some((each) => each.file === file))
    .map((file) => ({ file, title: file.name, facts: bytes(file.sizeBytes) }));
  return [...known, ...others];
}

function factsOf(file: Artifact, facts: ExportFacts | undefined): string {
  if (file.name === 'tileset.json') {
    const { tiles, size_bytes: size } = facts?.tiles ?? {};
    if (tiles !== undefined && size !== undefined) return `${bytes(size)} in ${tiles} tiles`;
  }
  const level = facts?.levels?.find(({ name }) => file.name === `scene_${name ?? ''}.glb`);
  const points = level?.points;
  return points === undefined
    ? bytes(file.sizeBytes)
    : `${compact(points)} points · ${bytes(file.sizeBytes)}`;
}
