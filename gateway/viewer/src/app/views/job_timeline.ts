/** The steps of a job as a timeline: stage, bar, counts, time left, attempts with their reasons. */
import { html, nothing, type TemplateResult } from 'lit';
import {
  Job_State,
  type Attempt,
  type Job,
  type Step,
} from '../../gen/epipar/scene/v1/job_service_pb';
import { problemOfFailure } from '../api/errors';
import { duration, millis, remaining } from '../format';
import { isActive, shareOf, stateWords, stepWords } from '../jobs/job_state';
import { icon, type IconName } from '../ui/icons';
import { bar, progressText } from '../ui/pieces';

const MARKS: Readonly<Record<Job_State, readonly [string, IconName | '']>> = {
  [Job_State.UNSPECIFIED]: ['', ''],
  [Job_State.QUEUED]: ['', ''],
  [Job_State.RUNNING]: ['run', ''],
  [Job_State.SUCCEEDED]: ['ok', 'check'],
  [Job_State.FAILED]: ['bad', 'alert'],
  [Job_State.CANCELLED]: ['warn', 'stop'],
};

/**
 * Show the steps.
 *
 * Args:
 *   job: as far as it is known.
 *   remainingS: seconds left of the whole job; 0 where that is not known.
 *   now: in milliseconds, for what still runs.
 */
export function timeline(job: Job, remainingS: number, now: number): TemplateResult {
  return html`<ol class="timeline">
    ${job.steps.map((step) => stepRow(step, job, remainingS, now))}
  </ol>`;
}

function stepRow(step: Step, job: Job, remainingS: number, now: number): TemplateResult {
  const [kind, mark] = MARKS[step.state];
  const running = step.state === Job_State.RUNNING && job.state === Job_State.RUNNING;
  return html`<li class="step ${kind}">
    <span class="step-mark">${mark ? icon(mark, 15) : nothing}</span>
    <div class="step-body">
      <h3>
        ${stepWords(step.name)}
        <span class="step-state muted small">${stateOf(step, job, now)}</span>
      </h3>
      ${running ? runningPart(step, remainingS) : nothing}
      ${sameAsJob(step, job) ? nothing : attempts(step.attempts, now)}
    </div>
  </li>`;
}

function stateOf(step: Step, job: Job, now: number): string {
  const seconds = secondsOf(step.attempts, now);
  const never = step.state === Job_State.QUEUED && !isActive(job.state);
  const words = never ? 'Not started' : stateWords(step.state);
  return seconds > 0 ? `${words} · ${duration(seconds)}` : words;
}

function secondsOf(attempts: readonly Attempt[], now: number): number {
  const first = millis(attempts[0]?.startTime);
  if (Number.isNaN(first)) return 0;
  const end = millis(attempts.at(-1)?.endTime);
  return Math.max(0, ((Number.isNaN(end) ? now : end) - first) / 1000);
}

function runningPart(step: Step, remainingS: number): TemplateResult {
  const { progress } = step;
  const left = remaining(remainingS);
  return html`
    ${bar(stepWords(step.name), shareOf(progress))}
    <p class="small muted numbers step-progress">
      <span>${progressText(progress)}</span>
      ${left ? html`<span>${left}</span>` : nothing}
    </p>
    ${progress?.message ? html`<p class="small muted detail">${progress.message}</p>` : nothing}
  `;
}

/** The only attempt failed as the job did: its words stand above. */
const sameAsJob = (step: Step, job: Job): boolean =>
  step.attempts.length === 1 && step.attempts[0]?.failure?.message === job.failure?.message;

/** One attempt that goes well needs no words; of several each says how it went. */
function attempts(all: readonly Attempt[], now: number): TemplateResult | typeof nothing {
  if (all.length < 2 && all[0]?.failure === undefined) return nothing;
  return html`<ul class="attempts small">
    ${all.map((attempt) => {
      const problem = attempt.failure && problemOfFailure(attempt.failure);
      const end = millis(attempt.endTime);
      const took = ((Number.isNaN(end) ? now : end) - millis(attempt.startTime)) / 1000;
      const how = problem
        ? problem.message || problem.title
        : attempt.endTime
          ? 'went well'
          : 'goes on from the finished parts';
      return html`<li class=${problem ? 'bad' : ''}>
        <b>Attempt ${attempt.number}</b
        >${took >= 0 ? html` <span class="muted">(${duration(took)})</span>` : nothing}: ${how}
      </li>`;
    })}
  </ul>`;
}
