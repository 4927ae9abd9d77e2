/** The address of each view: hash routes, with the view's settings as its query. */

export type Route =
  | { readonly view: 'scenes'; readonly params: URLSearchParams }
  | { readonly view: 'scene'; readonly id: string; readonly params: URLSearchParams }
  | { readonly view: 'jobs'; readonly params: URLSearchParams }
  | { readonly view: 'job'; readonly id: string; readonly params: URLSearchParams }
  | { readonly view: 'view'; readonly params: URLSearchParams }
  | { readonly view: 'missing'; readonly params: URLSearchParams };

export type ViewName = Route['view'];

const ID = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** Read a location's hash, such as "#/scenes/kitchen?color=confidence". */
export function parseHash(hash: string): Route {
  const text = hash.replace(/^#\/?/, '');
  const mark = text.indexOf('?');
  const path = (mark < 0 ? text : text.slice(0, mark)).replace(/\/+$/, '');
  const params = new URLSearchParams(mark < 0 ? '' : text.slice(mark + 1));
  const [first = '', id = '', ...rest] = path.split('/');
  if (rest.length > 0) return { view: 'missing', params };
  if (path === '' || path === 'scenes') return { view: 'scenes', params };
  if (path === 'jobs' || path === 'view') return { view: path, params };
  if (!ID.test(id)) return { view: 'missing', params };
  if (first === 'scenes') return { view: 'scene', id, params };
  if (first === 'jobs') return { view: 'job', id, params };
  return { view: 'missing', params };
}

/** The hash of a scene or a job by its resource name, "scenes/kitchen" → "#/scenes/kitchen". */
export const hrefOf = (name: string): string => `#/${name}`;

/**
 * Put settings into the address without a new entry in the history.
 *
 * Args:
 *   changes: value by name; null removes it.
 */
export function replaceParams(changes: Readonly<Record<string, string | null>>): void {
  const hash = window.location.hash;
  const mark = hash.indexOf('?');
  const path = mark < 0 ? hash || '#/' : hash.slice(0, mark);
  const params = new URLSearchParams(mark < 0 ? '' : hash.slice(mark + 1));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') params.delete(name);
    else params.set(name, value);
  }
  const query = params.toString();
  history.replaceState(history.state, '', query ? `${path}?${query}` : path);
}

/** The absolute address of a file to view, or null where it is none that a page may fetch. */
export function viewableUrl(text: string | null, base = document.baseURI): string | null {
  if (text === null || text === '') return null;
  try {
    const url = new URL(text, base);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}
