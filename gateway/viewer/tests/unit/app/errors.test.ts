// @vitest-environment happy-dom
/** Every failure has words and a way out. */
import { Code, ConnectError } from '@connectrpc/connect';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { isAway, problemOf, problemOfFailure, problemOfHttp } from '../../../src/app/api/errors';
import { REASON_WORDS, reasonNameOf, WAY_WORDS, wordsOf } from '../../../src/app/api/words';
import { ErrorReason, ErrorReasonSchema } from '../../../src/gen/epipar/common/v1/error_reason_pb';
import { FailureSchema } from '../../../src/gen/epipar/common/v1/failure_pb';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../../src/gen/google/rpc/error_details_pb';

const VALUES = ErrorReasonSchema.values;

describe('the words', () => {
  it('are complete: one entry for each reason of the contract', () => {
    expect(
      Object.keys(REASON_WORDS)
        .map(Number)
        .sort((a, b) => a - b),
    ).toEqual(VALUES.map(({ number }) => number).sort((a, b) => a - b));
  });

  it.each(VALUES.map(({ name, localName }) => [name, localName]))(
    'of %s are a headline and a sentence',
    (name, local) => {
      const { title, wayOut } = wordsOf(reasonNameOf(name));
      expect(title).toMatch(/^[A-Z].{5,80}[^.]$/);
      expect(wayOut).toMatch(/^[A-Z].{8,}\.$/);
      expect(reasonNameOf(name)).toBe(local);
    },
  );

  it('do not repeat a headline', () => {
    const titles = [...Object.values(REASON_WORDS), ...Object.values(WAY_WORDS)].map(
      ({ title }) => title,
    );
    expect(new Set(titles).size).toBe(titles.length);
  });

  it('of an unknown reason are general', () => {
    expect(reasonNameOf('ERROR_REASON_FROM_THE_FUTURE')).toBe('UNSPECIFIED');
  });
});

describe('problemOf', () => {
  it('takes reason, fields and pause from the details of a call', () => {
    const error = new ConnectError(
      'max_frames is 2; it must be 3 to 10000',
      Code.InvalidArgument,
      undefined,
      [
        { desc: ErrorInfoSchema, value: { reason: 'BAD_REQUEST', domain: 'epipar.dev' } },
        {
          desc: BadRequestSchema,
          value: { fieldViolations: [{ field: 'max_frames', description: 'is 2' }] },
        },
        { desc: RetryInfoSchema, value: { retryDelay: { seconds: 7n, nanos: 0 } } },
      ],
    );
    expect(problemOf(error, true)).toMatchObject({
      reason: 'BAD_REQUEST',
      message: 'max_frames is 2; it must be 3 to 10000',
      fields: [{ field: 'max_frames', message: 'is 2' }],
      retryAfterS: 7,
    });
  });

  it.each([
    [401, 'UNAUTHENTICATED'],
    [413, 'INPUT_TOO_LARGE'],
    [429, 'TOO_MANY_REQUESTS'],
    [503, 'SERVER_AWAY'],
  ])("puts Envoy's refusal %i into words", (status, reason) => {
    // What connect-web makes of an answer that is no gRPC.
    expect(problemOf(new ConnectError(`HTTP ${status}`, Code.Unknown), true).reason).toBe(reason);
    expect(problemOfHttp(status, 'local_rate_limited').reason).toBe(reason);
  });

  it('tells a lost network from a lost server', () => {
    const failure = new TypeError('Failed to fetch');
    expect(problemOf(failure, false).reason).toBe('OFFLINE');
    expect(problemOf(failure, true).reason).toBe('SERVER_AWAY');
    expect(isAway(problemOf(failure, true))).toBe(true);
  });

  it('keeps the words of a service that is away for a reason', () => {
    const error = new ConnectError('no GPU was found', Code.Unavailable, undefined, [
      { desc: ErrorInfoSchema, value: { reason: 'ENGINE_UNAVAILABLE', domain: 'epipar.dev' } },
    ]);
    expect(problemOf(error, true)).toMatchObject({
      reason: 'ENGINE_UNAVAILABLE',
      message: 'no GPU was found',
    });
    expect(isAway(problemOf(error, true))).toBe(false);
  });

  it("takes the gateway's own JSON over the status", () => {
    const body = JSON.stringify({ reason: 'UNREADABLE_VIDEO', message: 'clip.mp4 is no video' });
    expect(problemOfHttp(415, body)).toMatchObject({
      reason: 'UNREADABLE_VIDEO',
      message: 'clip.mp4 is no video',
    });
  });

  it('reads the failure of a job, also one of a newer server', () => {
    const failure = create(FailureSchema, { reason: ErrorReason.NO_PARALLAX, message: '0 of 60' });
    expect(problemOfFailure(failure)).toMatchObject({ reason: 'NO_PARALLAX', message: '0 of 60' });
    expect(problemOfFailure(Object.assign(create(FailureSchema), { reason: 999 })).reason).toBe(
      'UNSPECIFIED',
    );
  });
});
