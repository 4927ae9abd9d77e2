// @vitest-environment happy-dom
/** Every call of the page begins a trace that servers can read. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { makeClients, makeTransport } from '../../../src/app/api/clients';
import { newTraceparent } from '../../../src/app/api/traceparent';
import { Connection } from '../../../src/app/connection';

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/;

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a traceparent', () => {
  it('is as W3C wants it, another each time', () => {
    const made = Array.from({ length: 100 }, newTraceparent);
    for (const one of made) expect(one).toMatch(TRACEPARENT);
    expect(new Set(made.map((one) => one.slice(3, 35))).size).toBe(100);
  });

  it('goes out with every call, each with its own', async () => {
    const sent: string[] = [];
    vi.stubGlobal('fetch', (_url: string, request: { headers: Headers }) => {
      sent.push(request.headers.get('traceparent') ?? 'none');
      return Promise.reject(new TypeError('nobody there'));
    });
    const clients = makeClients(makeTransport(new Connection(), 'http://127.0.0.1:9'));
    await expect(clients.jobs.getJob({ name: 'jobs/one34567abcd' })).rejects.toThrow();
    await expect(clients.scenes.listScenes({})).rejects.toThrow();
    expect(sent).toHaveLength(2);
    for (const one of sent) expect(one).toMatch(TRACEPARENT);
    expect(sent[0]).not.toBe(sent[1]);
  });
});
