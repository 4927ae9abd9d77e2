// connect-web under Node: node --experimental-transform-types web_client.mjs VIEWER ADDRESS MODE
// Prints one line of JSON.
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const [viewer, baseUrl, mode] = process.argv.slice(2);
const parentURL = pathToFileURL(`${viewer}/package.json`).href;
registerHooks({
  resolve: (name, context, next) =>
    name.startsWith('.')
      ? next(/\.\w+$/.test(name) ? name : `${name}.ts`, context)
      : next(name, name.startsWith('node:') || name.startsWith('file:') ? context : { ...context, parentURL }),
});

const { createClient, ConnectError, Code } = await import('@connectrpc/connect');
const { createGrpcWebTransport } = await import('@connectrpc/connect-web');
const { JobService } = await import(pathToFileURL(`${viewer}/src/gen/epipar/scene/v1/job_service_pb.ts`).href);
const { ErrorInfoSchema } = await import(pathToFileURL(`${viewer}/src/gen/google/rpc/error_details_pb.ts`).href);

const jobs = createClient(JobService, createGrpcWebTransport({ baseUrl }));
const attempt = async (call) => {
  try {
    return { ok: await call() };
  } catch (error) {
    const found = ConnectError.from(error);
    const reason = found.findDetails(ErrorInfoSchema)[0]?.reason;
    return { code: Code[found.code], message: found.rawMessage, reason };
  }
};

const answers = {
  unary: () => attempt(async () => (await jobs.getJob({ name: 'jobs/a' })).job.name),
  missing: () => attempt(() => jobs.getJob({ name: 'jobs/missing' })),
  stream: () =>
    attempt(async () => {
      const seen = [];
      for await (const event of jobs.watchJob({ name: 'jobs/a', afterSequence: 4n })) seen.push(Number(event.sequence));
      return seen;
    }),
  abort: () =>
    attempt(async () => {
      const leaving = new AbortController();
      for await (const _ of jobs.watchJob({ name: 'jobs/open' }, { signal: leaving.signal })) leaving.abort();
    }),
};
console.log(JSON.stringify(await answers[mode]()));
