/** One job, live: what it does now, how long still, and what can be done about it. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Job_Kind, Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { problemOf, problemOfFailure } from '../api/errors';
import { duration, millis, remaining } from '../format';
import type { JobView as LiveJob } from '../jobs/job_hub';
import { isActive, kindWords } from '../jobs/job_state';
import { hrefOf } from '../router';
import { icon } from '../ui/icons';
import { Part } from '../ui/part';
import { jobChip, problemCard, waiting } from '../ui/pieces';
import { timeline } from './job_timeline';

const TICK_MS = 1000;

/** Fires "ep-job" (bubbling, detail: the job) on each change. */
@customElement('ep-job-panel')
export class JobPanel extends Part {
  @property() name = '';
  /** Without a heading of its own, inside another page. */
  @property({ type: Boolean }) compact = false;
  @state() private live: LiveJob = { stale: false };
  @state() private now = Date.now();
  @state() private asking = false;
  private leave: (() => void) | undefined;
  private ticker: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.ticker = setInterval(() => {
      if (this.live.job && isActive(this.live.job.state)) this.now = Date.now();
    }, TICK_MS);
    if (this.hasUpdated) this.follow();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.ticker);
    this.leave?.();
    this.leave = undefined;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('name')) this.follow();
  }

  private follow(): void {
    this.leave?.();
    this.leave = this.app.hub.subscribe(this.name, (live) => {
      this.live = live;
      this.now = Date.now();
      if (live.job) {
        this.dispatchEvent(new CustomEvent('ep-job', { detail: live.job, bubbles: true }));
      }
    });
  }

  protected override render(): TemplateResult {
    const { job, problem, stale } = this.live;
    if (!job) {
      return problem
        ? html`<div class="gap-below">${problemCard(problem)}</div>`
        : waiting('Fetching the job…');
    }
    return html`
      <div class="job-head">
        <h2 class=${this.compact ? '' : 'sr-only'}>
          ${this.compact ? kindWords(job.kind) : 'Progress'}
        </h2>
        ${jobChip(job.state)}
        <p class="small muted numbers job-time">${this.timeWords(job)}</p>
        ${
          stale && isActive(job.state)
            ? html`<span class="chip warn" role="status">${icon('retry', 14)}Reconnecting</span>`
            : nothing
        }
        <div class="job-actions">${this.actions(job)}</div>
      </div>
      ${job.failure ? this.failure(job) : nothing}
      ${timeline(job, this.live.remainingS ?? 0, this.now)}
      ${problem ? problemCard(problem) : nothing}
    `;
  }

  private timeWords(job: Job): string {
    const from = millis(job.startTime);
    const to = millis(job.endTime);
    if (Number.isNaN(from)) return job.state === Job_State.QUEUED ? 'Waiting for its turn' : '';
    const took = duration(Math.max(0, ((Number.isNaN(to) ? this.now : to) - from) / 1000));
    const left = isActive(job.state) ? remaining(this.live.remainingS ?? 0) : '';
    return left ? `${took} · ${left}` : took;
  }

  private failure(job: Job): TemplateResult {
    if (!job.failure) return html``;
    const again = html`
      ${this.againButton(job, 'Try again')}
      ${
        job.kind === Job_Kind.RECONSTRUCTION
          ? html`<a class="button" href="#/">${icon('upload')}Upload another</a>`
          : nothing
      }
    `;
    return html`<div class="gap-below">${problemCard(problemOfFailure(job.failure), again)}</div>`;
  }

  private actions(job: Job): TemplateResult {
    return html`
      ${
        isActive(job.state)
          ? html`<button
              class="button"
              ?disabled=${this.asking}
              @click=${() => void this.cancel(job)}
            >
              ${icon('stop')}Cancel
            </button>`
          : nothing
      }
      ${job.state === Job_State.CANCELLED ? this.againButton(job, 'Start again') : nothing}
    `;
  }

  private againButton(job: Job, words: string): TemplateResult {
    return html`<button
      class="button"
      ?disabled=${this.asking}
      @click=${() => void this.again(job)}
    >
      ${icon('retry')}${words}
    </button>`;
  }

  private cancel(job: Job): Promise<void> {
    return this.attempt('The job was not cancelled', async () => {
      const answer = await this.app.jobs.cancelJob({ name: job.name });
      if (answer.job) this.app.hub.offer(answer.job);
    });
  }

  private again(job: Job): Promise<void> {
    return this.attempt('The job was not started', async () => {
      const started = await this.app.starter.again(job);
      window.location.hash = hrefOf(started.name);
    });
  }

  private async attempt(what: string, work: () => Promise<void>): Promise<void> {
    this.asking = true;
    try {
      await work();
    } catch (error) {
      this.app.toasts.fail(problemOf(error), what);
    }
    this.asking = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ep-job-panel': JobPanel;
  }
}
