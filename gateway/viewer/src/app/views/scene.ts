/** One scene: the viewer, what runs on it, what can be had of it. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { Job_Kind, Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { Scene_State, type Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { problemOf, type Problem } from '../api/errors';
import { Follow } from '../follow';
import { isActive } from '../jobs/job_state';
import type { JobStarter } from '../jobs/starter';
import { Poller } from '../poller';
import { replaceParams } from '../router';
import { icon } from '../ui/icons';
import type { Region } from '../../lib';
import { Part } from '../ui/part';
import { problemCard, sceneChip, sceneTitle, waiting } from '../ui/pieces';
import {
  findFile,
  JsonFiles,
  type CompletionFacts,
  type ExportFacts,
  type SceneFacts,
} from './files';
import { choiceSection, emptyStage } from './scene_choice';
import { fillRequest, fillSection, removeRequest } from './scene_fill';
import { completionOf, isRemoval, modelsOf, shownOf, type Model } from './scene_models';
import { downloadsSection, factsSection, isFailed, jobsSection } from './scene_side';
import { readSettings, VIEW_DEFAULTS, type ViewSettings } from './view_settings';
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
  @state() private completed: CompletionFacts | undefined;
  /** A box is being put around what is to go. */
  @state() private marking = false;
  @state() private chosen = '';
  @state() private compared = false;
  @state() private sideOpen = true;
  @query('ep-export-dialog') private exportDialog!: ExportDialog | null;
  private settings = VIEW_DEFAULTS;
  private readonly files = new JsonFiles();
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
    this.files.open();
    this.chosen = this.params.get('of') ?? '';
    this.compared = this.params.get('compare') === '1';
    // On a phone the scene comes first, its facts on demand.
    this.sideOpen =
      window.matchMedia('(min-width: 800px)').matches && this.params.get('side') !== '0';
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.files.close();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('params')) this.settings = readSettings(this.params);
    if (changed.has('name') && changed.get('name') !== undefined) {
      this.scene = this.facts = this.exported = this.completed = undefined;
      this.problem = this.fillProblem = undefined;
      this.marking = false;
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
    const completion = scene.completions.find(({ name }) => name === model?.completion);
    const files = [
      findFile(scene.artifacts, 'scene.json'),
      findFile(model?.export.artifacts ?? [], 'export.json'),
      findFile(completion?.artifacts ?? [], 'completion.json'),
    ];
    const [facts, exported, completed] = await Promise.all(
      files.map((file) => this.files.get(file)),
    );
    this.facts = facts as SceneFacts | undefined;
    this.exported = exported as ExportFacts | undefined;
    this.completed = completed as CompletionFacts | undefined;
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
      <div class="scene-stage">${model ? this.stage(scene, model) : emptyStage(scene)}</div>
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
      .shown=${shownOf(scene, model, this.compared && model.completion !== '', this.completed?.filled)}
      .settings=${this.settings}
      @ep-settings=${this.onSettings}
      .marking=${this.marking}
      @ep-region=${(event: CustomEvent<Region>) => void this.removeIn(scene, event.detail)}
      @ep-region-end=${this.endMarking}
    ></ep-stage>`;
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
        ${
          model
            ? choiceSection(modelsOf(scene), model, this.compared, this.choose, this.compare)
            : nothing
        }
        ${scene.state === Scene_State.READY ? this.fillPart(scene, model) : nothing}
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
      this.finished = event.detail;
    }
    this.poller.now();
  };
  /** A completion that has ended well: shown as soon as its files are known. */
  private finished: Job | undefined;

  protected override updated(): void {
    const { scene, finished } = this;
    if (!scene || !finished) return;
    const name = completionOf(finished, scene);
    const model = modelsOf(scene).find(
      ({ completion }) => completion !== '' && completion === name,
    );
    if (!model) return;
    this.finished = undefined;
    const what = isRemoval(model.completion) ? 'It is gone' : 'The missing regions are filled';
    this.app.toasts.say(`${what}. Move the slider to compare.`);
    this.choose(model.key);
  }

  private readonly choose = (key: string): void => {
    this.chosen = key;
    replaceParams({ of: key, compare: this.compared ? '1' : null });
    this.completed = undefined;
    if (this.scene) void this.loadFacts(this.scene);
  };

  private readonly compare = (wanted: boolean): void => {
    this.compared = wanted;
    replaceParams({ compare: wanted ? '1' : null });
  };

  private fillPart(scene: Scene, model: Model | undefined): TemplateResult {
    const running = this.activeJobs.some(({ kind }) => kind === Job_Kind.COMPLETION);
    return fillSection(
      scene,
      {
        busy: running || this.starting || this.marking,
        canMark: model !== undefined,
        problem: this.fillProblem,
      },
      () => void this.complete(fillRequest(scene.name)),
      () => {
        this.startMarking(scene);
      },
    );
  }

  /** Show the scene as it was filmed, since that is what something is taken away from, and a box. */
  private startMarking(scene: Scene): void {
    const [own] = modelsOf(scene);
    this.compared = false;
    if (own) this.choose(own.key);
    this.marking = true;
    this.fillProblem = undefined;
    // On a phone the panel lies over the scene.
    if (!window.matchMedia('(min-width: 800px)').matches) this.sideOpen = false;
  }

  private readonly onSettings = (event: CustomEvent<ViewSettings>): void => {
    this.settings = event.detail;
  };

  private readonly endMarking = (): void => {
    if (!this.marking) return;
    this.marking = false;
    void this.updateComplete.then(() => this.querySelector<HTMLElement>('.remove-start')?.focus());
  };

  private async removeIn(scene: Scene, region: Region): Promise<void> {
    this.marking = false;
    // What goes on, or why not, stands in the panel.
    this.sideOpen = true;
    await this.complete(removeRequest(scene.name, region));
  }

  private async complete(request: Parameters<JobStarter['completion']>[0]): Promise<void> {
    this.starting = true;
    this.fillProblem = undefined;
    try {
      const job = await this.app.starter.completion(request);
      this.jobs = [job, ...this.jobs.filter(({ name }) => name !== job.name)];
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
