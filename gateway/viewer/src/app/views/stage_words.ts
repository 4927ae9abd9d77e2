/** What is said of files that cannot be shown. */
import type { ViewerErrorDetail } from '../../lib';
import type { Shown } from './stage';

/** What to say of a broken file that is no part of the scene itself; undefined for its parts. */
export function wordsOfExtra(url: string, shown: Shown | undefined): string | undefined {
  const is = (file?: string): boolean =>
    file !== undefined && new URL(file, document.baseURI).href === url;
  if (is(shown?.surface)) return 'The surface cannot be read; points are shown in its place.';
  if (is(shown?.cameras)) return 'The cameras cannot be read; the scene is shown without them.';
  return undefined;
}

/** Why a scene cannot be shown; browsers do not tell that the page itself forbade the request. */
export function wordsOfFailure({ url, reason, message }: ViewerErrorDetail): string {
  const isElsewhere = url !== '' && new URL(url).origin !== window.location.origin;
  return reason === 'NETWORK' && isElsewhere
    ? `${message}: this page fetches from its own address alone. Serve the files beside it, or put <epipar-viewer> into a page of theirs`
    : message;
}
