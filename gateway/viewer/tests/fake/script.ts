/** What the scripted gateway tells: scenes in every state, jobs whose events are known beforehand. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ErrorReason } from '../../src/gen/epipar/common/v1/error_reason_pb';
import {
  Job_Kind,
  Job_State,
  JobSchema,
  WatchJobResponseSchema,
  type Job,
  type WatchJobResponse,
} from '../../src/gen/epipar/scene/v1/job_service_pb';
import {
  CompletionSchema,
  Scene_State,
  SceneSchema,
  type Completion,
  type Scene,
} from '../../src/gen/epipar/scene/v1/scene_service_pb';

/** A job with all the events it will ever have; `released` of them have happened. */
export interface ScriptedJob {
  readonly events: WatchJobResponse[];
  released: number;
}

const HOUR = 3_600_000;
const DEPTH: readonly (readonly [string, number, string])[] = [
  ['probe', 1, 'sources'],
  ['select', 60, 'frames'],
  ['poses', 60, 'frames'],
  ['depth', 60, 'frames'],
  ['fuse', 60, 'frames'],
];
const EXPORT: readonly (readonly [string, number, string])[] = [
  ['order', 5_358_836, 'points'],
  ['tiles', 1014, 'tiles'],
];
const FILL: readonly (readonly [string, number, string])[] = [
  ['reproject', 60, 'views'],
  ['planes', 60, 'views'],
  ['paint', 60, 'views'],
];
const STAGES: Readonly<Record<string, typeof DEPTH>> = {
  depth: DEPTH,
  export: EXPORT,
  masks: [['masks', 60, 'frames']],
  complete: FILL,
};
const STEPS: Readonly<Partial<Record<Job_Kind, readonly string[]>>> = {
  [Job_Kind.RECONSTRUCTION]: ['depth', 'export'],
  [Job_Kind.EXPORT]: ['export'],
  [Job_Kind.COMPLETION]: ['masks', 'complete', 'export'],
};

/** Write a job's events: progress in eighths of each stage, attempt 1 lost if asked, then the end. */
export function scriptJob(
  name: string,
  scene: string,
  kind: Job_Kind,
  options: { restarted?: boolean; fails?: boolean; at?: number } = {},
): ScriptedJob {
  const at = options.at ?? Date.now();
  const events: WatchJobResponse[] = [];
  const job: MessageInitShape<typeof JobSchema> & {
    steps: NonNullable<MessageInitShape<typeof JobSchema>['steps']>;
  } = {
    name,
    scene,
    kind,
    priority: 50,
    state: Job_State.QUEUED,
    createTime: timestampFromMs(at),
    steps: (STEPS[kind] ?? []).map((step) => ({ name: step, state: Job_State.QUEUED })),
  };
  const time = (): number => at + events.length * 1000;
  const push = (event: MessageInitShape<typeof WatchJobResponseSchema>['event']): void => {
    const sequence = BigInt(events.length + 1);
    events.push(create(WatchJobResponseSchema, { sequence, time: timestampFromMs(time()), event }));
  };
  const pushJob = (): void => {
    const value = create(
      JobSchema,
      structuredClone({ ...job, lastSequence: BigInt(events.length + 1) }),
    );
    push({ case: 'job', value });
  };
  pushJob();
  job.state = Job_State.RUNNING;
  job.startTime = timestampFromMs(time());
  let left = 240;
  for (const step of job.steps) {
    const stepName = step.name ?? '';
    step.state = Job_State.RUNNING;
    step.attempts = [{ number: 1, startTime: timestampFromMs(time()) }];
    pushJob();
    for (const [stage, total, unit] of STAGES[stepName] ?? []) {
      for (let part = 0; part <= 8; part++) {
        const done = BigInt(Math.round((total * part) / 8));
        const progress = { stage, done, total: BigInt(total), unit, message: '' };
        step.progress = progress;
        left = Math.max(3, left - 4);
        push({ case: 'progress', value: { step: stepName, progress, remainingS: left } });
        if (options.restarted && stage === 'depth' && part === 3)
          lose(step, timestampFromMs(time()), pushJob);
      }
      if (options.fails && stage === 'poses') {
        fail(job, step, timestampFromMs(time()));
        pushJob();
        return { events, released: 1 };
      }
    }
    step.state = Job_State.SUCCEEDED;
    const last = step.attempts.at(-1);
    if (last) last.endTime = timestampFromMs(time());
  }
  job.state = Job_State.SUCCEEDED;
  job.endTime = timestampFromMs(time());
  pushJob();
  return { events, released: 1 };
}

type StepInit = NonNullable<MessageInitShape<typeof JobSchema>['steps']>[number];

/** The first attempt is lost, as when a service is restarted. */
function lose(step: StepInit, now: ReturnType<typeof timestampFromMs>, pushJob: () => void): void {
  const [first] = step.attempts ?? [];
  if (!first) return;
  first.endTime = now;
  first.failure = {
    reason: ErrorReason.ENGINE_UNAVAILABLE,
    message: 'The depth service was restarted.',
  };
  step.attempts = [first, { number: 2, startTime: now }];
  pushJob();
}

function fail(
  job: MessageInitShape<typeof JobSchema>,
  step: StepInit,
  now: ReturnType<typeof timestampFromMs>,
): void {
  const failure = {
    reason: ErrorReason.SPLIT_MODEL,
    message: '31 of 60 frames registered in the largest part; 80 % are needed.',
    metadata: { registered: '31', frames: '60' },
  };
  step.state = job.state = Job_State.FAILED;
  job.failure = failure;
  job.endTime = now;
  const last = step.attempts?.at(-1);
  if (last) {
    last.endTime = now;
    last.failure = failure;
  }
}

/** The job as it stands after its released events. */
export function jobNow({ events, released }: ScriptedJob): Job {
  let job = create(JobSchema);
  for (const { event, sequence } of events.slice(0, released)) {
    if (event.case === 'job') job = create(JobSchema, structuredClone(event.value));
    if (event.case === 'progress') {
      const { step: name, progress, remainingS } = event.value;
      const step = job.steps.find((each) => each.name === name);
      if (step && progress) step.progress = progress;
      if (step) step.remainingS = remainingS;
    }
    job.lastSequence = sequence;
  }
  return job;
}

export const artifact = (uri: string, mediaType: string, sizeBytes: number) => ({
  name: uri.split('/').at(-1) ?? uri,
  uri,
  mediaType,
  sizeBytes: BigInt(sizeBytes),
  sha256: '',
});

/** A scene that is finished, with the files that an export has; tiles only where a store has them. */
export function readyScene(
  id: string,
  displayName: string,
  at: number,
  frames: number,
  tiles: boolean,
): Scene {
  const root = `scenes/${id}`;
  const files = [
    'tileset.json:5215',
    'scene_preview.glb:726504',
    'scene_medium.glb:6583708',
    'scene_full.glb:31379532',
    'cloud.ply:85741636',
    'export.json:3401',
  ];
  const there = files.filter((file) => tiles || !file.startsWith('tileset'));
  const artifacts = there.map((file) => {
    const [name = '', size = '0'] = file.split(':');
    const type = name.endsWith('glb') ? 'model/gltf-binary' : 'application/json';
    return artifact(`${root}/exports/default/${name}`, type, Number(size));
  });
  return create(SceneSchema, {
    name: root,
    displayName,
    state: Scene_State.READY,
    createTime: timestampFromMs(at),
    updateTime: timestampFromMs(at),
    registeredFrames: frames,
    thumbnail: artifact(`thumbnails/${id}.jpg`, 'image/jpeg', 20_000),
    exports: [{ name: 'default', artifacts, createTime: timestampFromMs(at) }],
    artifacts: [
      artifact(`${root}/scene.json`, 'application/json', 1200),
      ...(tiles ? [artifact(`${root}/transforms.json`, 'application/json', 60_000)] : []),
    ],
  });
}

/** Scenes and jobs in every state. */
export function fullStory(now: number, tiles: boolean): { scenes: Scene[]; jobs: ScriptedJob[] } {
  const bare = (id: string, displayName: string, state: Scene_State, ago: number): Scene =>
    create(SceneSchema, {
      name: `scenes/${id}`,
      displayName,
      state,
      createTime: timestampFromMs(now - ago),
      updateTime: timestampFromMs(now - ago),
    });
  const running = scriptJob('jobs/run234567abc', 'scenes/kitchen-run111', Job_Kind.RECONSTRUCTION, {
    restarted: true,
    at: now - 40_000,
  });
  running.released = 38;
  const waiting = scriptJob('jobs/wait34567abc', 'scenes/garden-wait11', Job_Kind.RECONSTRUCTION, {
    at: now - 20_000,
  });
  const failed = scriptJob('jobs/fail34567abc', 'scenes/hallway-fail11', Job_Kind.RECONSTRUCTION, {
    fails: true,
    at: now - 3 * HOUR,
  });
  failed.released = failed.events.length;
  const done = scriptJob('jobs/done34567abc', 'scenes/office', Job_Kind.RECONSTRUCTION, {
    at: now - 26 * HOUR,
  });
  done.released = done.events.length;
  return {
    scenes: [
      bare('garden-wait11', 'Garden wall', Scene_State.RECONSTRUCTING, 20_000),
      bare('kitchen-run111', 'Kitchen', Scene_State.RECONSTRUCTING, 40_000),
      bare(
        'hallway-fail11',
        'Hallway with a very long name that has to wrap somewhere',
        Scene_State.FAILED,
        3 * HOUR,
      ),
      readyScene('office', 'Office', now - 26 * HOUR, 60, tiles),
    ],
    jobs: [waiting, running, failed, done],
  };
}

/** What a filling leaves beside a scene: the same files again. */
export function filled(scene: Scene, name: string): Completion {
  const [own] = scene.exports;
  const root = `${scene.name}/completions/${name}/exports/default`;
  const artifacts = (own?.artifacts ?? []).map((file) =>
    artifact(`${root}/${file.name}`, file.mediaType, Number(file.sizeBytes)),
  );
  return create(CompletionSchema, {
    name,
    engine: 'fusion',
    artifacts: [
      artifact(`${scene.name}/completions/${name}/completion.json`, 'application/json', 1100),
    ],
    exports: [{ name: 'default', artifacts }],
    createTime: timestampFromMs(Date.now()),
  });
}
