/** SceneService and JobService over the script, answered by Connect's own gRPC-Web handlers. */
import { Code, ConnectError, createConnectRouter, type ConnectRouter } from '@connectrpc/connect';
import { create, toJson } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { BadRequestSchema, ErrorInfoSchema } from '../../src/gen/google/rpc/error_details_pb';
import {
  Job_Kind,
  Job_State,
  JobService,
  StartCompletionRequestSchema,
  type Job,
} from '../../src/gen/epipar/scene/v1/job_service_pb';
import {
  Scene_State,
  SceneSchema,
  SceneService,
} from '../../src/gen/epipar/scene/v1/scene_service_pb';
import { jobNow, scriptJob, type ScriptedJob } from './script';
import type { World } from './world';

const refuse = (code: Code, reason: string, message: string, field = ''): ConnectError =>
  new ConnectError(message, code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: 'epipar.dev' } },
    ...(field
      ? [{ desc: BadRequestSchema, value: { fieldViolations: [{ field, description: message }] } }]
      : []),
  ]);

export function makeRouter(world: World): ConnectRouter {
  const router = createConnectRouter({ grpc: false, connect: false, grpcWeb: true });
  addScenes(router, world);
  addJobs(router, world);
  return router;
}

function addScenes(router: ConnectRouter, world: World): void {
  const find = (name: string) => {
    const scene = world.scenes.find((each) => each.name === name);
    if (!scene) throw refuse(Code.NotFound, 'NOT_FOUND', `"${name}" does not exist`);
    return scene;
  };
  router.service(SceneService, {
    getScene: ({ name }) => ({ scene: find(name) }),
    listScenes({ query, pageSize }) {
      const all = world.scenes.filter(({ displayName }) =>
        displayName.toLowerCase().includes(query.toLowerCase()),
      );
      const size = pageSize || 50;
      return { scenes: all.slice(0, size), nextPageToken: all.length > size ? 'more' : '' };
    },
    deleteScene({ name }) {
      const scene = find(name);
      world.scenes.splice(world.scenes.indexOf(scene), 1);
      return {};
    },
  });
}

function addJobs(router: ConnectRouter, world: World): void {
  const find = (name: string): ScriptedJob => {
    const job = world.job(name);
    if (!job) throw refuse(Code.NotFound, 'NOT_FOUND', `"${name}" does not exist`);
    return job;
  };
  const start = (id: string, scene: string, kind: Job_Kind): { job: Job } => {
    const known = world.job(`jobs/${id}`);
    const job = known ?? scriptJob(`jobs/${id}`, scene, kind);
    if (!known) world.jobs.unshift(job);
    return { job: jobNow(job) };
  };
  router.service(JobService, {
    startReconstruction({ upload, requestId }) {
      if (!world.uploads.has(upload))
        throw refuse(Code.NotFound, 'NOT_FOUND', `"${upload}" does not exist`);
      const scene = `scenes/${(world.uploads.get(upload)?.title ?? 'scene').toLowerCase().replace(/[^a-z0-9]+/g, '-')}-new111`;
      if (!world.scenes.some(({ name }) => name === scene)) {
        const displayName = world.uploads.get(upload)?.title ?? '';
        const createTime = timestampFromMs(Date.now());
        world.scenes.unshift(
          create(SceneSchema, {
            name: scene,
            displayName,
            state: Scene_State.RECONSTRUCTING,
            createTime,
          }),
        );
      }
      return start(requestId.slice(0, 12).toLowerCase(), scene, Job_Kind.RECONSTRUCTION);
    },
    startExport({ scene, exportName }) {
      if (exportName === 'default') {
        throw refuse(
          Code.AlreadyExists,
          'OUTPUT_EXISTS',
          `"${scene}/exports/default" exists with other options`,
          'export_name',
        );
      }
      return start(`exp${exportName}`.slice(0, 12), scene, Job_Kind.EXPORT);
    },
    startCompletion(request) {
      const { scene, completionName } = request;
      if (world.completionOff)
        throw refuse(Code.Unavailable, 'ENGINE_UNAVAILABLE', 'No inpaint service is running.');
      world.asked.push(toJson(StartCompletionRequestSchema, request));
      const id = completionName === 'default' ? 'fill34567abc' : completionName.replace('-', '');
      world.completions.set(`jobs/${id}`, completionName);
      return start(id, scene, Job_Kind.COMPLETION);
    },
    getJob: ({ name }) => ({ job: jobNow(find(name)) }),
    listJobs({ states, kinds, scene, pageSize }) {
      const jobs = world.jobs
        .map((job) => jobNow(job))
        .filter((job) => states.length === 0 || states.includes(job.state))
        .filter((job) => kinds.length === 0 || kinds.includes(job.kind))
        .filter((job) => scene === '' || job.scene === scene);
      return { jobs: jobs.slice(0, pageSize || 50) };
    },
    cancelJob({ name }) {
      world.end(find(name), Job_State.CANCELLED);
      return { job: jobNow(find(name)) };
    },
    retryJob({ name }) {
      const { kind, scene } = jobNow(find(name));
      return start(`again${world.jobs.length}`.padEnd(12, 'x'), scene, kind);
    },
    deleteJob({ name }) {
      world.jobs.splice(world.jobs.indexOf(find(name)), 1);
      return {};
    },
    async *watchJob({ name, afterSequence }, { signal }) {
      const job = find(name);
      const cut = world.streamSignal(signal);
      world.watches.push({ name, afterSequence: Number(afterSequence) });
      for (let next = Number(afterSequence); next < job.events.length;) {
        if (next >= job.released) {
          await world.released(cut);
          if (cut.aborted) throw new ConnectError('the stream was cut', Code.Unavailable);
          continue;
        }
        const event = job.events[next++];
        if (event) yield event;
      }
    },
  });
}
