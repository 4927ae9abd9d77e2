/** Small templates that several views share. */
import { html, nothing, type TemplateResult } from 'lit';
import type { Progress } from '../../gen/epipar/common/v1/progress_pb';
import { Job_State } from '../../gen/epipar/scene/v1/job_service_pb';
import { Scene_State, type Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import type { Problem } from '../api/errors';
import { age, count, dateTime, idOf, percent } from '../format';
import { shareOf, stageWords, stateWords } from '../jobs/job_state';
import { icon, type IconName } from './icons';

export type Content = TemplateResult | typeof nothing;

/** What went wrong, in words, with the way out and what can be done at once. */
export function problemCard(problem: Problem, actions: Content = nothing): TemplateResult {
  return html`<div class="problem" role="alert">
    ${icon('alert')}
    <strong>${problem.title}</strong>
    ${problem.message ? html`<p class="small">${problem.message}</p>` : nothing}
    ${
      problem.fields.some(({ message }) => message !== problem.message)
        ? html`<ul class="small">
            ${problem.fields.map(({ field, message }) => html`<li><b>${field}</b>: ${message}</li>`)}
          </ul>`
        : nothing
    }
    <p>${problem.wayOut}</p>
    ${actions === nothing ? nothing : html`<div class="actions">${actions}</div>`}
  </div>`;
}

const JOB_CHIPS: Readonly<Record<Job_State, readonly [string, IconName]>> = {
  [Job_State.UNSPECIFIED]: ['', 'info'],
  [Job_State.QUEUED]: ['', 'clock'],
  [Job_State.RUNNING]: ['run', 'play'],
  [Job_State.SUCCEEDED]: ['ok', 'check'],
  [Job_State.FAILED]: ['bad', 'alert'],
  [Job_State.CANCELLED]: ['warn', 'stop'],
};

export function jobChip(state: Job_State): TemplateResult {
  const [kind, name] = JOB_CHIPS[state];
  return html`<span class="chip ${kind}">${icon(name, 14)}${stateWords(state)}</span>`;
}

const SCENE_CHIPS: Readonly<Record<Scene_State, readonly [string, IconName, string]>> = {
  [Scene_State.UNSPECIFIED]: ['', 'info', 'Unknown'],
  [Scene_State.EMPTY]: ['', 'box', 'Empty'],
  [Scene_State.RECONSTRUCTING]: ['run', 'play', 'In the making'],
  [Scene_State.READY]: ['ok', 'check', 'Ready'],
  [Scene_State.FAILED]: ['bad', 'alert', 'Failed'],
};

export function sceneChip(state: Scene_State): TemplateResult {
  const [kind, name, words] = SCENE_CHIPS[state];
  return html`<span class="chip ${kind}">${icon(name, 14)}${words}</span>`;
}

/** A bar with a name; without a share it only says that something goes on. */
export function bar(label: string, share: number | undefined): TemplateResult {
  return share === undefined
    ? html`<progress aria-label=${label}></progress>`
    : html`<progress aria-label=${label} max="1" .value=${share}></progress>`;
}

/** "Measuring depth · 12 of 60 frames". */
export function progressText(progress: Progress | undefined): string {
  if (!progress) return 'Waiting for its turn';
  const stage = stageWords(progress.stage);
  if (progress.total <= 0n) {
    return progress.done > 0n
      ? `${stage} · ${count(Number(progress.done))} ${progress.unit}`
      : stage;
  }
  if (progress.total === 1n) return stage;
  if (progress.unit === 'bytes') return `${stage} · ${percent(shareOf(progress) ?? 0)}`;
  return `${stage} · ${count(Number(progress.done))} of ${count(Number(progress.total))} ${progress.unit}`;
}

/** "5 minutes ago", with the exact time for who asks. */
export function when(at: number): TemplateResult {
  return html`<time
    datetime=${Number.isNaN(at) ? '' : new Date(at).toISOString()}
    title=${dateTime(at)}
    >${age(at)}</time
  >`;
}

/** What people call a scene. */
export const sceneTitle = (scene: Pick<Scene, 'name' | 'displayName'>): string =>
  scene.displayName || idOf(scene.name);

/** A quiet line while something is fetched. */
export const waiting = (words: string): TemplateResult =>
  html`<p class="waiting muted" role="status">${words}</p>`;
