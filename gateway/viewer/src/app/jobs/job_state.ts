/** A job as a person sees it: events folded into one state, stages in words, time left. */
import { clone, create } from '@bufbuild/protobuf';
import {
  Job_Kind,
  Job_State,
  JobSchema,
  StepSchema,
  type Job,
  type Step,
  type WatchJobResponse,
} from '../../gen/epipar/scene/v1/job_service_pb';
import type { Progress } from '../../gen/epipar/common/v1/progress_pb';
import { sentence } from '../format';

/** A job with the sequence of the event that it stands at. */
export interface JobSnapshot {
  readonly job: Job;
  readonly sequence: bigint;
  /** Estimated seconds left of the whole job; 0 where that is not known. */
  readonly remainingS: number;
}

/** Fold one event into a snapshot; events that are old are left out. */
export function applyEvent(before: JobSnapshot | undefined, event: WatchJobResponse): JobSnapshot {
  const { event: what, sequence } = event;
  if (what.case === 'job')
    return { job: what.value, sequence, remainingS: remainingOf(what.value) };
  const base = before ?? { job: create(JobSchema), sequence: 0n, remainingS: 0 };
  if (what.case !== 'progress') return { ...base, sequence };
  const { step: name, progress, remainingS } = what.value;
  const job = clone(JobSchema, base.job);
  let step = job.steps.find((each) => each.name === name);
  if (!step) {
    step = create(StepSchema, { name, state: Job_State.RUNNING });
    job.steps.push(step);
  }
  if (progress) step.progress = progress;
  return { job, sequence, remainingS };
}

/** Take a job as a unary call answers it. */
export const snapshotOf = (job: Job): JobSnapshot => ({
  job,
  sequence: job.lastSequence,
  remainingS: remainingOf(job),
});

/** The step that runs now, else the first that has not ended. */
export function currentStep(job: Job): Step | undefined {
  return (
    job.steps.find((step) => step.state === Job_State.RUNNING) ??
    job.steps.find((step) => step.state === Job_State.QUEUED)
  );
}

/** Share of 0 to 1 of the running stage, or undefined where its total is not known. */
export function shareOf(progress: Progress | undefined): number | undefined {
  if (!progress || progress.total <= 0n) return undefined;
  return Math.min(1, Number(progress.done) / Number(progress.total));
}

function remainingOf(job: Job): number {
  return job.steps
    .filter((step) => step.state === Job_State.RUNNING)
    .reduce((sum, step) => sum + step.remainingS, 0);
}

export const isActive = (state: Job_State): boolean =>
  state === Job_State.QUEUED || state === Job_State.RUNNING;

const KINDS: Readonly<Record<Job_Kind, string>> = {
  [Job_Kind.UNSPECIFIED]: 'Job',
  [Job_Kind.RECONSTRUCTION]: 'Reconstruction',
  [Job_Kind.EXPORT]: 'Export',
  [Job_Kind.COMPLETION]: 'Filling',
};
export const kindWords = (kind: Job_Kind): string => KINDS[kind];

const STATES: Readonly<Record<Job_State, string>> = {
  [Job_State.UNSPECIFIED]: 'Unknown',
  [Job_State.QUEUED]: 'Waiting',
  [Job_State.RUNNING]: 'Running',
  [Job_State.SUCCEEDED]: 'Done',
  [Job_State.FAILED]: 'Failed',
  [Job_State.CANCELLED]: 'Cancelled',
};
export const stateWords = (state: Job_State): string => STATES[state];

const STEPS: Readonly<Record<string, string>> = {
  depth: 'Cameras and depth',
  export: 'Files for the viewer',
  masks: 'Find what is missing',
  complete: 'Fill what is missing',
};
export const stepWords = (name: string): string => STEPS[name] ?? sentence(name);

const STAGES: Readonly<Record<string, string>> = {
  queued: 'Waiting for its turn',
  probe: 'Reading the file',
  select: 'Choosing frames',
  features: 'Finding features',
  matching: 'Matching frames',
  mapping: 'Finding camera positions',
  poses: 'Finding camera positions',
  depth: 'Measuring depth',
  confirm: 'Checking depth across views',
  fuse: 'Sharing depth between views',
  masks: 'Finding what is missing',
  check_masks: 'Reading what is missing',
  align: 'Aligning the views',
  reproject: 'Looking in other views',
  planes: 'Finding surfaces',
  colors: 'Matching colours',
  atlas: 'Laying out surfaces',
  paint: 'Painting what nobody saw',
  check_output: 'Checking the result',
  read: 'Reading the scene',
  order: 'Ordering points',
  tiles: 'Writing tiles',
  encode: 'Compressing',
  ply: 'Writing the PLY file',
  write: 'Writing files',
  surface_survey: 'Looking at the depth',
  surface_blocks: 'Finding where the surface is',
  surface_fuse: 'Fusing the surface',
  surface_mesh: 'Drawing triangles',
  surface_paint: 'Colouring the surface',
  surface_levels: 'Simplifying the surface',
};
export const stageWords = (name: string): string => STAGES[name] ?? sentence(name);
