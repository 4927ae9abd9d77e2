/** What can be shown of a scene: its exports, its completions, and the one that was chosen. */
import type { Job } from '../../gen/epipar/scene/v1/job_service_pb';
import type { Completion, Export, Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { millis, sentence } from '../format';
import { newRequestId } from '../jobs/starter';
import { fileUrl, findFile } from './files';
import type { Choice } from './scene_choice';
import type { Shown } from './stage';
import type { FilledCounts } from './stage_foot';

/** One thing that the viewer can show. */
export interface Model extends Choice {
  readonly export: Export;
  readonly src: string;
}

/** All that can be shown, the scene's own exports first, "default" before the others. */
export function modelsOf(scene: Scene): Model[] {
  const names = completionTitles(scene.completions);
  const own = scene.exports.flatMap((each) =>
    modelOf(
      each,
      '',
      scene.exports.length === 1 || each.name === 'default' ? 'Scene' : sentence(each.name),
    ),
  );
  const filled = [...scene.completions]
    .sort(byAge)
    .flatMap((completion) =>
      completion.exports.flatMap((each) =>
        modelOf(each, completion.name, `${names.get(completion.name) ?? ''}${titleOf(each)}`),
      ),
    );
  return [...own.sort(byDefault), ...filled.sort(byDefault)];
}

const titleOf = ({ name }: Export): string => (name === 'default' ? '' : `, ${name}`);

/** What completions are called: those from which something was removed are counted. */
function completionTitles(completions: readonly Completion[]): ReadonlyMap<string, string> {
  const titles = new Map<string, string>();
  let removals = 0;
  for (const { name } of [...completions].sort(byAge)) {
    if (isRemoval(name)) titles.set(name, ++removals > 1 ? `Removed ${removals}` : 'Removed');
    else titles.set(name, name === 'default' ? 'Filled' : `Filled, ${name}`);
  }
  return titles;
}

const REMOVAL = 'removed-';

/** Whether something was taken away in a completion that this app has asked for. */
export const isRemoval = (name: string): boolean => name.startsWith(REMOVAL);

/** A name for a completion from which something is taken away; new each time. */
export const newRemovalName = (): string => `${REMOVAL}${newRequestId().slice(0, 6)}`;

const byAge = (a: Completion, b: Completion): number =>
  (millis(a.createTime) || 0) - (millis(b.createTime) || 0);

/** The completion that a job has made, by its files; the newest where they do not tell. */
export function completionOf(job: Job, scene: Scene): string | undefined {
  const found = job.artifacts
    .map(({ uri }) => /\/completions\/([^/]+)\//.exec(uri)?.[1])
    .find((name) => scene.completions.some((completion) => completion.name === name));
  return found ?? [...scene.completions].sort(byAge).at(-1)?.name;
}

/** The tiles, else the largest GLB, of points or a surface; an export without cannot be shown. */
function modelOf(each: Export, completion: string, title: string): Model[] {
  const names = [
    'tileset.json',
    'scene_full.glb',
    'scene_medium.glb',
    'scene_preview.glb',
    'surface_full.glb',
  ];
  const file = names.map((name) => findFile(each.artifacts, name)).find((it) => it !== undefined);
  if (!file) return [];
  const key = completion ? `${completion}/${each.name}` : each.name;
  // Tiles are found beside their tileset: its address carries no version.
  const src = fileUrl(file.name === 'tileset.json' ? { ...file, sha256: '' } : file);
  return [{ key, title, export: each, completion, src }];
}

/** What is shown of a surface, the best for a page first: "full" may be as large as the scene. */
const SURFACES = ['surface_medium.glb', 'surface_full.glb', 'surface_preview.glb'] as const;

const byDefault = (a: Model, b: Model): number =>
  Number(b.export.name === 'default') - Number(a.export.name === 'default');

/** What to show: the model by key, else the first; with what was before, where that is wanted. */
export function shownOf(
  scene: Scene,
  model: Model | undefined,
  compared: boolean,
  filled?: FilledCounts,
): Shown | undefined {
  if (!model) return undefined;
  const cameras = findFile(scene.artifacts, 'transforms.json');
  const surface = SURFACES.map((name) => findFile(model.export.artifacts, name)).find((it) => it !== undefined); // prettier-ignore
  const before = compared ? modelsOf(scene).find(({ completion }) => completion === '') : undefined;
  return {
    src: model.src,
    ...(surface && { surface: fileUrl(surface) }),
    ...(cameras && { cameras: fileUrl(cameras) }),
    ...(before && before !== model && { before: before.src }),
    ...(filled && { filled }),
  };
}
