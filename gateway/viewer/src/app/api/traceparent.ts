/** The trace that each call begins: W3C's traceparent. The page itself records nothing. */
import type { Interceptor } from '@connectrpc/connect';

const TRACE_BYTES = 16;
const SPAN_BYTES = 8;

/** Make a traceparent of a new trace, which whoever records traces is to keep. */
export function newTraceparent(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(TRACE_BYTES + SPAN_BYTES));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `00-${hex.slice(0, 2 * TRACE_BYTES)}-${hex.slice(2 * TRACE_BYTES)}-01`;
}

/** Give each call a trace of its own. */
export const traced: Interceptor = (next) => (request) => {
  request.header.set('traceparent', newTraceparent());
  return next(request);
};
