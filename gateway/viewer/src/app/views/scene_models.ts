/** What can be shown of a scene: its exports, its completions, and the one that was chosen. */
import type { Export, Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { sentence } from '../format';
import { fileUrl, findFile } from './files';
import type { Shown } from './stage';

/** One thing that the viewer can show. */
export interface Model {
  /** Stands in the address: the export's name, or "completion/export". */
  readonly key: string;
  readonly title: string;
  readonly export: Export;
  readonly completion: string;
  readonly src: string;
}

/** All that can be shown, the scene's own exports first, "default" before the others. */
export function modelsOf(scene: Scene): Model[] {
  const own = scene.exports.flatMap((each) => modelOf(each, '', titleOf(each, '')));
  const filled = scene.completions.flatMap((completion) =>
    completion.exports.flatMap((each) =>
      modelOf(each, completion.name, `Filled${titleOf(each, completion.name)}`),
    ),
  );
  return [...own.sort(byDefault), ...filled.sort(byDefault)];
}

function titleOf({ name }: Export, completion: string): string {
  if (completion === '') return name === 'default' ? 'Scene' : sentence(name);
  const parts = [completion, name].filter((part) => part !== 'default');
  return parts.length > 0 ? `, ${parts.join(', ')}` : '';
}

/** The tiles, else the largest GLB; an export without either cannot be shown. */
function modelOf(each: Export, completion: string, title: string): Model[] {
  const names = ['tileset.json', 'scene_full.glb', 'scene_medium.glb', 'scene_preview.glb'];
  const file = names.map((name) => findFile(each.artifacts, name)).find((it) => it !== undefined);
  if (!file) return [];
  const key = completion ? `${completion}/${each.name}` : each.name;
  // Tiles are found beside their tileset: its address carries no version.
  const src = fileUrl(file.name === 'tileset.json' ? { ...file, sha256: '' } : file);
  return [{ key, title, export: each, completion, src }];
}

const byDefault = (a: Model, b: Model): number =>
  Number(b.export.name === 'default') - Number(a.export.name === 'default');

/** What to show: the model by key, else the first; with what was before, where that is wanted. */
export function shownOf(
  scene: Scene,
  model: Model | undefined,
  compared: boolean,
): Shown | undefined {
  if (!model) return undefined;
  const cameras = findFile(scene.artifacts, 'transforms.json');
  const before = compared ? modelsOf(scene).find(({ completion }) => completion === '') : undefined;
  return {
    src: model.src,
    ...(cameras && { cameras: fileUrl(cameras) }),
    ...(before && before !== model && { before: before.src }),
  };
}
