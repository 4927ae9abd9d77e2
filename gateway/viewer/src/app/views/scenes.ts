/** The scenes: a grid with what runs, search, uploads, or how to begin where there is none. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { Scene_State, type Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { problemOf, type Problem } from '../api/errors';
import { Follow } from '../follow';
import { millis, plural, remaining } from '../format';
import { currentStep, isActive, shareOf, stateWords } from '../jobs/job_state';
import { Poller } from '../poller';
import { hrefOf, replaceParams } from '../router';
import { confirm } from '../ui/confirm';
import { icon } from '../ui/icons';
import { Part } from '../ui/part';
import { bar, problemCard, progressText, sceneChip, sceneTitle, waiting, when } from '../ui/pieces';
import { fileUrl } from './files';
import { teachings } from './teach';
import './uploads';

const PAGE = 24;
const BUSY_MS = 4000;
const IDLE_MS = 30_000;

@customElement('ep-scenes')
export class ScenesView extends Part {
  @property() query = '';
  @state() private scenes: readonly Scene[] | undefined;
  @state() private jobs: ReadonlyMap<string, Job> = new Map();
  @state() private problem: Problem | undefined;
  private next = '';
  private wanted = PAGE;
  private unwatch: (() => void) | undefined;
  private watched = '';
  private typing: ReturnType<typeof setTimeout> | undefined;
  private readonly poller = new Poller(
    this,
    () => this.load(),
    () => (this.jobs.size > 0 ? BUSY_MS : IDLE_MS),
  );

  constructor() {
    super();
    new Follow(
      this,
      () => this.app.connection,
      'back',
      () => {
        this.poller.now();
      },
    );
    new Follow(
      this,
      () => this.app.uploads,
      'job',
      () => {
        this.poller.now();
      },
    );
    new Follow(this, () => this.app.uploads);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.watch('');
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('query') && changed.get('query') !== undefined) this.poller.now();
  }

  private async load(): Promise<void> {
    const query = this.query;
    try {
      const [page, active] = await Promise.all([
        this.app.scenes.listScenes({ pageSize: Math.min(1000, this.wanted), query }),
        this.app.jobs.listJobs({ pageSize: 100, states: [Job_State.QUEUED, Job_State.RUNNING] }),
      ]);
      if (query !== this.query) return;
      this.scenes = page.scenes;
      this.app.names.learn(page.scenes);
      this.next = page.nextPageToken;
      this.problem = undefined;
      this.take(active.jobs);
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  /** Keep the newest active job of each scene, and stream the newest of all. */
  private take(active: readonly Job[]): void {
    const jobs = new Map<string, Job>();
    for (const job of active.toReversed()) jobs.set(job.scene, job);
    const watched = this.jobs.get(active[0]?.scene ?? '');
    // What the stream has told is newer than a list.
    if (watched && watched.name === this.watched) jobs.set(watched.scene, watched);
    this.jobs = jobs;
    this.watch(active[0]?.name ?? '');
  }

  private watch(name: string): void {
    if (name === this.watched) return;
    this.unwatch?.();
    this.unwatch = undefined;
    this.watched = name;
    if (name === '') return;
    this.unwatch = this.app.hub.subscribe(name, ({ job }) => {
      if (!job) return;
      const jobs = new Map(this.jobs);
      if (isActive(job.state)) {
        jobs.set(job.scene, job);
      } else {
        jobs.delete(job.scene);
        this.poller.now();
      }
      this.jobs = jobs;
    });
  }

  protected override render(): TemplateResult {
    const { scenes, problem } = this;
    const uploads = this.app.uploads.items.length + this.app.uploads.earlier.length > 0;
    const empty = scenes?.length === 0 && this.query === '';
    return html`<div class="page">
      <div class="page-head">
        <h1>${empty && !uploads ? 'Make your first scene' : 'Scenes'}</h1>
        ${empty ? nothing : this.search()}
      </div>
      <ep-uploads .app=${this.app}></ep-uploads>
      ${problem ? html`<div class="gap-below">${problemCard(problem, this.retryButton())}</div>` : nothing}
      ${
        scenes === undefined
          ? problem
            ? nothing
            : waiting('Fetching the scenes…')
          : empty
            ? teachings(uploads)
            : this.grid(scenes)
      }
    </div>`;
  }

  private retryButton(): TemplateResult {
    return html`<button
      class="button"
      @click=${() => {
        this.poller.now();
      }}
    >
      ${icon('retry')}Try again
    </button>`;
  }

  private search(): TemplateResult {
    return html`<search class="search">
      ${icon('search', 18)}
      <input
        type="search"
        aria-label="Search scenes by name"
        placeholder="Search"
        maxlength="200"
        .value=${this.query}
        @input=${this.onSearch}
      />
    </search>`;
  }

  private readonly onSearch = (event: Event): void => {
    const { value } = event.target as HTMLInputElement;
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      this.query = value.trim();
      replaceParams({ q: this.query || null });
    }, 250);
  };

  private grid(scenes: readonly Scene[]): TemplateResult {
    return html`
      <p class="sr-only" role="status">
        ${this.query ? `${plural(scenes.length, 'scene')} found for “${this.query}”` : nothing}
      </p>
      ${
        scenes.length === 0
          ? html`<p class="muted">No scene has “${this.query}” in its name.</p>`
          : html`<ul class="grid">
              ${scenes.map((scene) => this.card(scene))}
            </ul>`
      }
      ${
        this.next
          ? html`<p class="more">
              <button class="button" @click=${this.showMore}>Show more</button>
            </p>`
          : nothing
      }
    `;
  }

  private readonly showMore = (): void => {
    this.wanted += PAGE;
    this.poller.now();
  };

  private card(scene: Scene): TemplateResult {
    const job = this.jobs.get(scene.name);
    const title = sceneTitle(scene);
    return html`<li class="card scene-card">
      <div class="thumb">
        ${icon(scene.state === Scene_State.FAILED ? 'alert' : 'film', 32)}
        ${
          scene.thumbnail
            ? html`<img
                src=${fileUrl(scene.thumbnail)}
                alt=""
                loading="lazy"
                decoding="async"
                @error=${hide}
              />`
            : nothing
        }
      </div>
      <div class="scene-card-body">
        <div class="scene-card-head">
          <h2><a class="cover" href=${hrefOf(scene.name)}>${title}</a></h2>
          <button
            class="button plain square"
            aria-label="Delete ${title}"
            title="Delete"
            @click=${() => void this.delete(scene)}
          >
            ${icon('trash')}
          </button>
        </div>
        <p class="facts small muted">
          ${sceneChip(scene.state)}
          ${scene.registeredFrames > 0 ? html`<span>${plural(scene.registeredFrames, 'frame')}</span>` : nothing}
          ${when(millis(scene.createTime))}
        </p>
        ${job ? jobLine(job, title) : nothing}
      </div>
    </li>`;
  }

  private async delete(scene: Scene): Promise<void> {
    const title = sceneTitle(scene);
    const agreed = await confirm({
      title: `Delete “${title}”?`,
      text: 'Its depth, its exports and its completions go with it, and jobs that work on it are cancelled. This cannot be undone.',
      yes: 'Delete scene',
    });
    if (!agreed) return;
    try {
      await this.app.scenes.deleteScene({ name: scene.name });
      this.scenes = this.scenes?.filter(({ name }) => name !== scene.name);
      this.app.toasts.say(`“${title}” has been deleted.`);
    } catch (error) {
      this.app.toasts.fail(problemOf(error), `“${title}” was not deleted`);
    }
    this.poller.now();
  }
}

/** A picture that is missing leaves the icon behind it. */
const hide = (event: Event): void => {
  (event.target as HTMLElement).hidden = true;
};

function jobLine(job: Job, title: string): TemplateResult {
  const step = currentStep(job);
  const left = remaining(step?.remainingS ?? 0);
  const words =
    job.state === Job_State.QUEUED ? stateWords(job.state) : progressText(step?.progress);
  return html`<div class="job-line small">
    ${bar(`Progress of ${title}`, job.state === Job_State.QUEUED ? 0 : shareOf(step?.progress))}
    <p class="muted numbers">${words}${left ? ` · ${left}` : nothing}</p>
  </div>`;
}
