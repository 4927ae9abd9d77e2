/** The state of the scripted gateway, and how a test moves it. */
import { create, type JsonValue } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  Job_Kind,
  Job_State,
  JobSchema,
  WatchJobResponseSchema,
} from '../../src/gen/epipar/scene/v1/job_service_pb';
import type { Scene } from '../../src/gen/epipar/scene/v1/scene_service_pb';
import { Scene_State } from '../../src/gen/epipar/scene/v1/scene_service_pb';
import { filled, fullStory, jobNow, readyScene, type ScriptedJob } from './script';

export interface Upload {
  readonly title: string;
  readonly size: number;
  offset: number;
}

export class World {
  scenes: Scene[] = [];
  jobs: ScriptedJob[] = [];
  readonly uploads = new Map<string, Upload>();
  /** Each call of WatchJob, so that a test can see where a client resumed. */
  readonly watches: { name: string; afterSequence: number }[] = [];
  /** Each completion that was asked for, as JSON. */
  readonly asked: JsonValue[] = [];
  /** The completion's name by its job. */
  readonly completions = new Map<string, string>();
  completionOff = false;
  /** While true, every call is answered as Envoy answers without its gateway: 503. */
  away = false;
  #cutter = new AbortController();
  #wake: (() => void)[] = [];

  constructor(
    story: string,
    private readonly tiles: boolean,
  ) {
    if (story === 'full') Object.assign(this, fullStory(Date.now(), tiles));
  }

  job(name: string): ScriptedJob | undefined {
    return this.jobs.find(({ events }) => {
      const [first] = events;
      return first?.event.case === 'job' && first.event.value.name === name;
    });
  }

  /** Let the next events of a job happen. */
  release(job: ScriptedJob, count: number): void {
    job.released = Math.min(job.events.length, job.released + count);
    const now = jobNow(job);
    const scene = this.scenes.find(({ name }) => name === now.scene);
    if (scene && now.state === Job_State.SUCCEEDED && scene.state !== Scene_State.READY) {
      const id = scene.name.slice('scenes/'.length);
      this.scenes[this.scenes.indexOf(scene)] = readyScene(
        id,
        scene.displayName,
        Date.now(),
        60,
        this.tiles,
      );
    }
    if (scene && now.state === Job_State.SUCCEEDED && now.kind === Job_Kind.COMPLETION) {
      const name = this.completions.get(now.name) ?? 'default';
      const others = scene.completions.filter((each) => each.name !== name);
      scene.completions = [...others, filled(scene, name)];
    }
    this.#notify();
  }

  /** End a job before its time: its script ends here. */
  end(job: ScriptedJob, state: Job_State): void {
    const value = jobNow(job);
    value.state = state;
    value.endTime = timestampFromMs(Date.now());
    for (const step of value.steps) if (step.state === Job_State.RUNNING) step.state = state;
    const sequence = BigInt(job.released + 1);
    value.lastSequence = sequence;
    job.events.splice(
      job.released,
      Infinity,
      create(WatchJobResponseSchema, {
        sequence,
        event: { case: 'job', value: create(JobSchema, value) },
      }),
    );
    job.released += 1;
    this.#notify();
  }

  /** A signal of one stream: its client is gone, or all streams are cut. */
  streamSignal(client: AbortSignal): AbortSignal {
    return AbortSignal.any([client, this.#cutter.signal]);
  }

  cut(): void {
    this.#cutter.abort();
    this.#cutter = new AbortController();
  }

  /** Resolve when something was released or the signal fires. */
  released(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake.push(resolve);
      signal.addEventListener('abort', () => {
        resolve();
      });
    });
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
