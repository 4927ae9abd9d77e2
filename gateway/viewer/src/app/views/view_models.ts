/** What the page of `epipar view` can show, told by its address alone. */
import { sentence } from '../format';
import { viewableUrl } from '../router';
import type { Choice } from './scene_choice';

/** One thing to show: its tiles or GLB, and the surface that was made with them. */
export interface ViewModel extends Choice {
  readonly src: string;
  readonly surface?: string;
  /** Its completion.json, where it is a completion's. */
  readonly facts?: string;
}

/** More than anybody would choose from. */
const MOST = 50;
const IN_SCENE = /(?:\/completions\/([^/]+))?\/exports\/([^/]+)\/[^/]*$/;

/**
 * Read `src` and `surface` of an address, each of which may be there several times.
 *
 * A surface belongs to the `src` in the same folder; a single one to a single `src` wherever it
 * lies. Names come from the folders, as a scene has them: exports/NAME, completions/NAME/exports/NAME.
 */
export function modelsOfView(params: URLSearchParams): ViewModel[] {
  const all = (name: string): string[] =>
    params.getAll(name).flatMap((text) => viewableUrl(text) ?? []);
  const sources = [...new Set(all('src'))].slice(0, MOST);
  const surfaces = all('surface');
  const isAlone = sources.length === 1 && surfaces.length === 1;
  return sources.map((src) => {
    const surface = isAlone ? surfaces[0] : surfaces.find((url) => folderOf(url) === folderOf(src));
    return { ...named(src), src, ...(surface !== undefined && { surface }) };
  });
}

const folderOf = (url: string): string => new URL('.', url).href;

/** Name what lies at an address, and say what stands for it in the address of the page. */
function named(src: string): Omit<ViewModel, 'src' | 'surface'> {
  const { pathname } = new URL(src);
  const [, completion = '', name] = IN_SCENE.exec(pathname)?.map(plain) ?? [];
  if (name === undefined) return { key: pathname, title: fileName(pathname), completion: '' };
  const which = name === 'default' ? '' : name;
  if (completion === '') return { key: name, title: sentence(which) || 'Scene', completion };
  const whose = completion === 'default' ? '' : completion;
  return {
    key: `${completion}/${name}`,
    title: ['Completed', whose, which].filter((part) => part !== '').join(', '),
    completion,
    facts: new URL('../../completion.json', src).href,
  };
}

const fileName = (pathname: string): string => plain(pathname.split('/').at(-1) ?? '');

/** Percent signs that code nothing stay as they are. */
function plain(text = ''): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
