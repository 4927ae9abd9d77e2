/** Every failure as a Problem: why, in words, with the way out. */
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorReason } from '../../gen/epipar/common/v1/error_reason_pb';
import type { Failure } from '../../gen/epipar/common/v1/failure_pb';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb';
import { reasonNameOf, wordsOf, type ReasonName } from './words';

/** A field that a service refused. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** What went wrong, for a person. */
export interface Problem {
  readonly reason: ReasonName;
  /** Headline in words. */
  readonly title: string;
  /** The service's own sentence: the thing, the value seen and the value wanted. May be empty. */
  readonly message: string;
  readonly wayOut: string;
  readonly fields: readonly FieldProblem[];
  /** Seconds to wait before the next try; 0 where the service did not say. */
  readonly retryAfterS: number;
}

/** An error that already is a Problem. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.title}. ${problem.message}`);
    this.name = 'ProblemError';
  }
}

/** Make a Problem from a reason and the facts that are known. */
export function makeProblem(
  reason: ReasonName,
  message = '',
  more: Partial<Pick<Problem, 'fields' | 'retryAfterS'>> = {},
): Problem {
  return { reason, ...wordsOf(reason), message, fields: [], retryAfterS: 0, ...more };
}

const BY_STATUS: Readonly<Record<number, ReasonName>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'OUTPUT_BUSY',
  410: 'UPLOAD_GONE',
  413: 'INPUT_TOO_LARGE',
  415: 'UPLOAD_TYPE',
  423: 'OUTPUT_BUSY',
  429: 'TOO_MANY_REQUESTS',
  460: 'UPLOAD_CHANGED',
  502: 'SERVER_AWAY',
  503: 'SERVER_AWAY',
  504: 'SERVER_AWAY',
  507: 'DISK_FULL',
};

const BY_CODE: Readonly<Partial<Record<Code, ReasonName>>> = {
  [Code.Canceled]: 'CANCELLED',
  [Code.InvalidArgument]: 'BAD_REQUEST',
  // Without ErrorInfo the deadline is this page's own: no answer came.
  [Code.DeadlineExceeded]: 'SERVER_AWAY',
  [Code.NotFound]: 'NOT_FOUND',
  [Code.AlreadyExists]: 'OUTPUT_EXISTS',
  [Code.PermissionDenied]: 'FORBIDDEN',
  [Code.ResourceExhausted]: 'TOO_MANY_REQUESTS',
  [Code.FailedPrecondition]: 'SCENE_INCOMPLETE',
  [Code.Unavailable]: 'SERVER_AWAY',
  [Code.DataLoss]: 'CORRUPT_ARTIFACT',
  [Code.Unauthenticated]: 'UNAUTHENTICATED',
  [Code.Internal]: 'INTERNAL',
};

const HTTP_ONLY = /^HTTP (\d{3})$/;

/** Make a Problem from an HTTP answer: the gateway's JSON where there is one, else the status. */
export function problemOfHttp(
  status: number,
  body: string,
  retryAfter: string | null = null,
): Problem {
  const said = parseBody(body);
  const reason =
    said.reason !== undefined && reasonNameOf(said.reason) !== 'UNSPECIFIED'
      ? reasonNameOf(said.reason)
      : (BY_STATUS[status] ?? (status >= 500 ? 'INTERNAL' : 'UNSPECIFIED'));
  const seconds = Number(retryAfter ?? 0);
  return makeProblem(reason, said.message ?? '', {
    retryAfterS: Number.isFinite(seconds) && seconds > 0 ? seconds : 0,
  });
}

/** Make a Problem from whatever a call threw. */
export function problemOf(error: unknown, online = navigator.onLine): Problem {
  if (error instanceof ProblemError) return error.problem;
  const failure = ConnectError.from(error);
  const info = failure.findDetails(ErrorInfoSchema)[0];
  const fields = failure
    .findDetails(BadRequestSchema)
    .flatMap((bad) => bad.fieldViolations)
    .map(({ field, description }) => ({ field, message: description }));
  const retryAfterS = Number(failure.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds ?? 0n);
  if (info !== undefined) {
    return makeProblem(reasonNameOf(info.reason), failure.rawMessage, { fields, retryAfterS });
  }
  const status = HTTP_ONLY.exec(failure.rawMessage);
  if (status) return problemOfHttp(Number(status[1]), '', failure.metadata.get('retry-after'));
  if (isNetworkLoss(error, failure)) return makeProblem(online ? 'SERVER_AWAY' : 'OFFLINE');
  return makeProblem(BY_CODE[failure.code] ?? 'UNSPECIFIED', failure.rawMessage, {
    fields,
    retryAfterS,
  });
}

/** Make a Problem from a failure that a job or an attempt carries. */
export function problemOfFailure(failure: Failure): Problem {
  return makeProblem(reasonNameOf(nameOfReason(failure.reason)), failure.message);
}

/** A newer server may send a reason that this page does not know. */
const nameOfReason = (reason: number): string =>
  (ErrorReason as Readonly<Record<number, string | undefined>>)[reason] ?? '';

/** True where the server was not reached, so that the same call may work in a moment. */
export function isAway(problem: Problem): boolean {
  return problem.reason === 'SERVER_AWAY' || problem.reason === 'OFFLINE';
}

function isNetworkLoss(error: unknown, failure: ConnectError): boolean {
  const cause = failure.cause ?? error;
  return (
    failure.code === Code.Unavailable ||
    cause instanceof TypeError ||
    (failure.code === Code.Unknown && failure.rawMessage.startsWith('missing '))
  );
}

function parseBody(body: string): { reason?: string; message?: string } {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null) return {};
    const { reason, message } = value as Record<string, unknown>;
    return {
      ...(typeof reason === 'string' && { reason }),
      ...(typeof message === 'string' && { message }),
    };
  } catch {
    return {}; // Envoy's own refusals are plain text that says nothing to a person.
  }
}
