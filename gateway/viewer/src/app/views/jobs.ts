/** All jobs, newest first, with filters that stand in the address. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Job_Kind, Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { problemOf, problemOfFailure, type Problem } from '../api/errors';
import { Follow } from '../follow';
import { duration, millis, plural } from '../format';
import { currentStep, isActive, kindWords, shareOf, stateWords } from '../jobs/job_state';
import { Poller } from '../poller';
import { hrefOf } from '../router';
import { Part } from '../ui/part';
import { bar, jobChip, problemCard, progressText, waiting, when } from '../ui/pieces';

const PAGE = 30;
const BUSY_MS = 3000;
const IDLE_MS = 20_000;
const STATES: readonly Job_State[] = [
  Job_State.RUNNING,
  Job_State.QUEUED,
  Job_State.SUCCEEDED,
  Job_State.FAILED,
  Job_State.CANCELLED,
];
const KINDS: readonly Job_Kind[] = [Job_Kind.RECONSTRUCTION, Job_Kind.EXPORT, Job_Kind.COMPLETION];

@customElement('ep-jobs')
export class JobsView extends Part {
  @property({ attribute: false }) params = new URLSearchParams();
  @state() private list: readonly Job[] | undefined;
  @state() private next = '';
  @state() private problem: Problem | undefined;
  private wanted = PAGE;
  private readonly poller = new Poller(
    this,
    () => this.load(),
    () => (this.list?.some(({ state: it }) => isActive(it)) ? BUSY_MS : IDLE_MS),
  );

  constructor() {
    super();
    new Follow(this, () => this.app.names);
    new Follow(
      this,
      () => this.app.connection,
      'back',
      () => {
        this.poller.now();
      },
    );
  }

  private get states(): Job_State[] {
    const chosen = this.params.get('state');
    return STATES.filter((each) => Job_State[each].toLowerCase() === chosen);
  }

  private get kinds(): Job_Kind[] {
    const chosen = this.params.get('kind');
    return KINDS.filter((each) => Job_Kind[each].toLowerCase() === chosen);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('params') && changed.get('params') !== undefined) {
      this.wanted = PAGE;
      this.poller.now();
    }
  }

  private async load(): Promise<void> {
    try {
      const { states, kinds } = this;
      const answer = await this.app.jobs.listJobs({
        pageSize: Math.min(1000, this.wanted),
        states,
        kinds,
      });
      this.list = answer.jobs;
      this.next = answer.nextPageToken;
      this.problem = undefined;
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  protected override render(): TemplateResult {
    return html`<div class="page">
      <div class="page-head">
        <h1>Jobs</h1>
        ${this.filter(
          'state',
          'State',
          STATES.map((it) => [Job_State[it], stateWords(it)] as const),
        )}
        ${this.filter(
          'kind',
          'Kind',
          KINDS.map((it) => [Job_Kind[it], kindWords(it)] as const),
        )}
      </div>
      ${this.problem ? html`<div class="gap-below">${problemCard(this.problem)}</div>` : nothing}
      ${this.list === undefined ? (this.problem ? nothing : waiting('Fetching the jobs…')) : this.rows(this.list)}
    </div>`;
  }

  private filter(
    name: string,
    label: string,
    options: readonly (readonly [string, string])[],
  ): TemplateResult {
    const chosen = this.params.get(name) ?? '';
    return html`<label class="filter">
      <span class="small muted">${label}</span>
      <select
        @change=${(event: Event) => {
          this.choose(name, (event.target as HTMLSelectElement).value);
        }}
      >
        <option value="" ?selected=${chosen === ''}>All</option>
        ${options.map(
          ([value, words]) =>
            html`<option value=${value.toLowerCase()} ?selected=${chosen === value.toLowerCase()}>
              ${words}
            </option>`,
        )}
      </select>
    </label>`;
  }

  private choose(name: string, value: string): void {
    const params = new URLSearchParams(this.params);
    if (value) params.set(name, value);
    else params.delete(name);
    const query = params.toString();
    window.location.hash = query ? `#/jobs?${query}` : '#/jobs';
  }

  private rows(jobs: readonly Job[]): TemplateResult {
    if (jobs.length === 0) {
      const filtered = this.states.length + this.kinds.length > 0;
      return html`<p class="muted">
        ${filtered ? 'No job is like that.' : 'Nothing has been made yet. Upload a video, and its job is here.'}
      </p>`;
    }
    return html`<ul class="card job-list">
        ${jobs.map((job) => row(job, this.app.names.titleOf(job.scene)))}
      </ul>
      ${
        this.next
          ? html`<p class="more">
              <button
                class="button"
                @click=${() => {
                  this.wanted += PAGE;
                  this.poller.now();
                }}
              >
                Show more
              </button>
            </p>`
          : nothing
      }`;
  }
}

function row(job: Job, title: string): TemplateResult {
  const step = currentStep(job);
  const took = (millis(job.endTime) - millis(job.startTime)) / 1000;
  const failed = job.failure ? problemOfFailure(job.failure).title : '';
  const tries = Math.max(0, ...job.steps.map(({ attempts }) => attempts.length));
  return html`<li class="job-row">
    <div class="job-row-text">
      <h2>
        <a class="cover" href=${hrefOf(job.name)}>${kindWords(job.kind)} of ${title}</a>
      </h2>
      <p class="small muted facts numbers">
        ${when(millis(job.createTime))}
        ${Number.isNaN(took) ? nothing : html`<span>took ${duration(took)}</span>`}
        ${tries > 1 ? html`<span>${plural(tries, 'attempt')}</span>` : nothing}
        ${failed ? html`<span>${failed}</span>` : nothing}
      </p>
    </div>
    ${
      job.state === Job_State.RUNNING
        ? html`<div class="job-row-bar small muted numbers">
            ${bar(`Progress of ${title}`, shareOf(step?.progress))} ${progressText(step?.progress)}
          </div>`
        : nothing
    }
    ${jobChip(job.state)}
  </li>`;
}
