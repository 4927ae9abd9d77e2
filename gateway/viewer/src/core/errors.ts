/** What can go wrong in the viewer, as one class whose reason a page can switch on. */

export type ViewerErrorReason =
  | 'NETWORK'
  | 'HTTP_STATUS'
  | 'BAD_TILESET'
  | 'BAD_CONTENT'
  | 'BAD_CAMERAS'
  | 'UNSUPPORTED'
  | 'LIMIT'
  | 'NO_GPU'
  | 'CONTEXT_LOST';

export class ViewerError extends Error {
  override readonly name = 'ViewerError';

  /**
   * @param reason what kind of failure it is
   * @param message names the thing, the value seen and the value wanted
   * @param retriable whether the same request may succeed a moment later
   */
  constructor(
    readonly reason: ViewerErrorReason,
    message: string,
    readonly retriable = false,
  ) {
    super(message);
  }
}

/** Turn whatever was thrown into a ViewerError; what is none of ours comes from a broken file. */
export function viewerErrorFrom(thrown: unknown): ViewerError {
  if (thrown instanceof ViewerError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new ViewerError('BAD_CONTENT', text);
}

/** Tell whether something was thrown because its AbortSignal was raised. */
export function isAbort(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === 'AbortError';
}
