/** One scene: the viewer, what runs on it, what can be had of it. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { Intent } from '../../gen/epipar/inpaint/v1/inpaint_service_pb';
import { Job_Kind, Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { Scene_State, type Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { problemOf, type Problem } from '../api/errors';
import { Follow } from '../follow';
import { isActive } from '../jobs/job_state';
import { newRequestId } from '../jobs/starter';
import { Poller } from '../poller';
import { replaceParams } from '../router';
import { icon } from '../ui/icons';
import { Part } from '../ui/part';
import { problemCard, sceneChip, sceneTitle, waiting } from '../ui/pieces';
import { fetchJson, findFile, type ExportFacts, type SceneFacts } from './files';
import { modelsOf, shownOf, type Model } from './scene_models';
import { downloadsSection, factsSection, isFailed, jobsSection } from './scene_side';
import { readSettings, VIEW_DEFAULTS } from './view_settings';
import './export_dialog';
import type { ExportDialog } from './export_dialog';
import './job_panel';
import './stage';

const BUSY_MS = 3000;
const IDLE_MS = 30_000;

@customElement('ep-scene')
export class ScenePage extends Part {
  @property() name = '';
  @property({ attribute: false }) params = new URLSearchParams();
  @state() private scene: Scene | undefined;
  @state() private jobs: readonly Job[] = [];
  @state() private problem: Problem | undefined;
  @state() private fillProblem: Problem | undefined;
  @state() private starting = false;
  @state() private facts: SceneFacts | undefined;
  @state() private exported: ExportFacts | undefined;
  @state() private chosen = '';
  @state() private compared = false;
  @state() private sideOpen = true;
  @query('ep-export-dialog') private exportDialog!: ExportDialog | null;
  private settings = VIEW_DEFAULTS;
  private readonly fetched = new Map<string, unknown>();
  private fetching = new AbortController();
  private readonly poller = new Poller(
    this,
    () => this.load(),
    () => (this.activeJobs.length > 0 ? BUSY_MS : IDLE_MS),
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
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.fetching = new AbortController();
    this.chosen = this.params.get('of') ?? '';
    this.compared = this.params.get('compare') === '1';
    // On a phone the scene comes first, its facts on demand.
    this.sideOpen =
      window.matchMedia('(min-width: 800px)').matches && this.params.get('side') !== '0';
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.fetching.abort();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('params')) this.settings = readSettings(this.params);
    if (changed.has('name') && changed.get('name') !== undefined) {
      this.scene = this.facts = this.exported = this.problem = this.fillProblem = undefined;
      this.jobs = [];
      this.chosen = '';
      this.poller.now();
    }
  }

  private get activeJobs(): readonly Job[] {
    return this.jobs.filter((job) => isActive(job.state));
  }

  private async load(): Promise<void> {
    const { name } = this;
    try {
      const [answer, listed] = await Promise.all([
        this.app.scenes.getScene({ name }),
        this.app.jobs.listJobs({ pageSize: 20, scene: name }),
      ]);
      if (name !== this.name) return;
      this.scene = answer.scene;
      this.jobs = listed.jobs;
      this.problem = undefined;
      if (answer.scene) {
        document.title = `${sceneTitle(answer.scene)} · Epipar`;
        await this.loadFacts(answer.scene);
      }
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  /** Facts are an extra: without them the scene is shown all the same. */
  private async loadFacts(scene: Scene): Promise<void> {
    const model = this.model(scene);
    const files = [
      findFile(scene.artifacts, 'scene.json'),
      findFile(model?.export.artifacts ?? [], 'export.json'),
    ];
    const [facts, exported] = await Promise.all(
      files.map(async (file) => {
        if (!file) return undefined;
        const key = `${file.uri} ${file.sha256}`;
        try {
          if (!this.fetched.has(key))
            this.fetched.set(key, await fetchJson(file, this.fetching.signal));
          return this.fetched.get(key);
        } catch {
          return undefined;
        }
      }),
    );
    this.facts = facts as SceneFacts | undefined;
    this.exported = exported as ExportFacts | undefined;
  }

  private model(scene: Scene): Model | undefined {
    const models = modelsOf(scene);
    return models.find(({ key }) => key === this.chosen) ?? models[0];
  }

  protected override render(): TemplateResult {
    const { scene, problem } = this;
    if (!scene) {
      return html`<div class="page stack">
        <h1>${problem ? 'Scene' : 'Opening the scene…'}</h1>
        ${
          problem
            ? problemCard(
                problem,
                html`<a class="button" href="#/">${icon('back')}To the scenes</a>`,
              )
            : waiting('Fetching the scene…')
        }
      </div>`;
    }
    const model = this.model(scene);
    return html`<div class="scene ${this.sideOpen ? 'with-side' : ''}">
      <div class="scene-stage">${model ? this.stage(scene, model) : this.empty(scene)}</div>
      ${this.side(scene, model)}
      <ep-export-dialog
        .app=${this.app}
        .scene=${scene.name}
        @ep-started=${() => {
          this.poller.now();
        }}
      ></ep-export-dialog>
    </div>`;
  }

  private stage(scene: Scene, model: Model): TemplateResult {
    return html`<ep-stage
      .app=${this.app}
      .heading=${sceneTitle(scene)}
      .shown=${shownOf(scene, model, this.compared && model.completion !== '')}
      .settings=${this.settings}
    ></ep-stage>`;
  }

  /** What stands in the viewer's place before there is anything to view. */
  private empty(scene: Scene): TemplateResult {
    const words: Readonly<Record<Scene_State, readonly [string, string]>> = {
      [Scene_State.UNSPECIFIED]: ['Nothing to show', 'This scene has no files.'],
      [Scene_State.EMPTY]: ['This scene is empty', 'Upload a video to fill it.'],
      [Scene_State.RECONSTRUCTING]: [
        'Your scene is in the making',
        'It appears here by itself as soon as it is ready. You can close this page meanwhile.',
      ],
      [Scene_State.READY]: [
        'No export to show',
        'The depth is ready; make an export to see it here.',
      ],
      [Scene_State.FAILED]: [
        'This scene could not be made',
        'Why, and what helps, stands with its job.',
      ],
    };
    const [title, text] = words[scene.state];
    return html`<div class="stage-empty">
      <span class="drop-icon"
        >${icon(scene.state === Scene_State.FAILED ? 'alert' : 'box', 30)}</span
      >
      <p class="drop-title">${title}</p>
      <p class="muted">${text}</p>
    </div>`;
  }

  private side(scene: Scene, model: Model | undefined): TemplateResult {
    return html`<aside class="side" aria-label="About the scene">
      <div class="side-head">
        <h1>${sceneTitle(scene)}</h1>
        ${sceneChip(scene.state)}
        <button
          class="button plain square"
          aria-label=${this.sideOpen ? 'Hide details' : 'Show details'}
          title=${this.sideOpen ? 'Hide details' : 'Show details'}
          aria-expanded=${this.sideOpen ? 'true' : 'false'}
          aria-controls="side-body"
          @click=${this.toggleSide}
        >
          ${icon('panel')}
        </button>
      </div>
      <div id="side-body" class="side-body" ?hidden=${!this.sideOpen}>
        ${this.problem ? problemCard(this.problem) : nothing} ${this.jobPanels(scene)}
        ${model ? this.choice(scene, model) : nothing}
        ${scene.state === Scene_State.READY ? this.fill(scene) : nothing}
        ${model ? downloadsSection(scene, model, this.exported) : nothing}
        ${scene.state === Scene_State.READY ? this.exportButton() : nothing}
        ${factsSection(scene, this.facts, this.exported)}
        ${jobsSection(this.jobs.filter((job) => !isActive(job.state)))}
      </div>
    </aside>`;
  }

  private readonly toggleSide = (): void => {
    this.sideOpen = !this.sideOpen;
    replaceParams({ side: this.sideOpen ? null : '0' });
  };

  /** What runs, and the reconstruction that failed, each live. */
  private jobPanels(scene: Scene): TemplateResult {
    const last = this.jobs[0];
    const failed = scene.state === Scene_State.FAILED && isFailed(last) && last ? [last] : [];
    return html`${[...this.activeJobs.slice(0, 3), ...failed].map(
      (job) =>
        html`<section class="side-job">
          <ep-job-panel
            compact
            .app=${this.app}
            .name=${job.name}
            @ep-job=${this.onJob}
          ></ep-job-panel>
        </section>`,
    )}`;
  }

  private readonly onJob = (event: CustomEvent<Job>): void => {
    const known = this.jobs.find(({ name }) => name === event.detail.name);
    if (!known || known.state === event.detail.state) return;
    if (event.detail.state === Job_State.SUCCEEDED && event.detail.kind === Job_Kind.COMPLETION) {
      this.compared = true;
      this.app.toasts.say('The missing regions are filled. Move the slider to compare.');
      this.chooseCompletion = true;
    }
    this.poller.now();
  };
  private chooseCompletion = false;

  protected override updated(): void {
    const newest = this.scene?.completions.at(-1);
    if (!this.chooseCompletion || !this.scene || !newest) return;
    const model = modelsOf(this.scene).find(({ completion }) => completion === newest.name);
    if (!model) return;
    this.chooseCompletion = false;
    this.choose(model.key);
  }

  private choice(scene: Scene, model: Model): TemplateResult | typeof nothing {
    const models = modelsOf(scene);
    if (models.length < 2) return nothing;
    return html`<section>
      <h2 id="choice">Shown</h2>
      <div class="choices" role="group" aria-labelledby="choice">
        ${models.map(
          ({ key, title }) =>
            html`<button
              class="button"
              aria-pressed=${key === model.key ? 'true' : 'false'}
              @click=${() => {
                this.choose(key);
              }}
            >
              ${title}
            </button>`,
        )}
      </div>
      ${
        model.completion
          ? html`<label class="check">
              <input
                type="checkbox"
                .checked=${this.compared}
                @change=${(event: Event) => {
                  this.compare((event.target as HTMLInputElement).checked);
                }}
              />
              Compare with before
            </label>`
          : nothing
      }
    </section>`;
  }

  private choose(key: string): void {
    this.chosen = key;
    replaceParams({ of: key, compare: this.compared ? '1' : null });
    if (this.scene) void this.loadFacts(this.scene);
  }

  private compare(wanted: boolean): void {
    this.compared = wanted;
    replaceParams({ compare: wanted ? '1' : null });
  }

  private fill(scene: Scene): TemplateResult {
    const running = this.activeJobs.some(({ kind }) => kind === Job_Kind.COMPLETION);
    const filled = scene.completions.length > 0;
    return html`<section class="stack-s">
      <h2>Missing regions</h2>
      <p class="small muted">
        ${
          filled
            ? 'What the camera never saw has been filled. The original stays as it is.'
            : 'What the camera never saw can be filled from other views and from planes around it. The original stays as it is.'
        }
      </p>
      ${
        filled
          ? nothing
          : html`<button
              class="button primary"
              ?disabled=${running || this.starting}
              @click=${() => void this.startFilling(scene)}
            >
              ${icon('fill')}Fill missing regions
            </button>`
      }
      ${this.fillProblem ? problemCard(this.fillProblem) : nothing}
    </section>`;
  }

  private async startFilling(scene: Scene): Promise<void> {
    this.starting = true;
    this.fillProblem = undefined;
    try {
      const job = await this.app.starter.completion({
        scene: scene.name,
        completionName: 'default',
        intent: Intent.COMPLETE,
        requestId: newRequestId(),
      });
      this.jobs = [job, ...this.jobs];
      this.poller.now();
    } catch (error) {
      this.fillProblem = problemOf(error);
    }
    this.starting = false;
  }

  private exportButton(): TemplateResult {
    return html`<button
      class="button"
      @click=${() => {
        this.exportDialog?.open();
      }}
    >
      ${icon('plus')}New export
    </button>`;
  }
}
