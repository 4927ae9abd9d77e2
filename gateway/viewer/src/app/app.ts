/** The frame of the app: header, banner, the view of the address, toasts, drops from anywhere. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { makeProblem } from './api/errors';
import { Follow } from './follow';
import { hrefOf, parseHash, type Route, type ViewName } from './router';
import { icon } from './ui/icons';
import { PICK_FILES } from './ui/pick';
import { waiting } from './ui/pieces';
import { Part } from './ui/part';
import { ACCEPT, filesOfDrop } from './upload/checks';
import { JobStarted } from './upload/queue';
import './views/scenes';
import './views/jobs';
import './views/job';

const TITLES: Readonly<Record<ViewName, string>> = {
  scenes: 'Scenes',
  scene: 'Scene',
  jobs: 'Jobs',
  job: 'Job',
  view: 'View',
  missing: 'Not found',
};

@customElement('ep-app')
export class App extends Part {
  @state() private route: Route = parseHash(window.location.hash);
  @state() private dropping = false;
  @state() private stageLoaded = false;
  private focusAfterUpdate = false;

  constructor() {
    super();
    new Follow(this, () => this.app.connection);
    new Follow(this, () => this.app.toasts);
    new Follow(this, () => this.app.theme);
    new Follow(this, () => this.app.uploads);
    new Follow(this, () => window, 'hashchange', this.onHash);
    new Follow(
      this,
      () => this.app.connection,
      'back',
      () => {
        this.loadStage();
      },
    );
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.loadStage();
    this.begin();
  }

  private begin(): void {
    this.app.uploads.addEventListener('job', (event) => {
      if (event instanceof JobStarted) this.onJob(event);
    });
    void this.app.uploads.findEarlier();
    window.addEventListener('beforeunload', (event) => {
      if (this.app.uploads.busy) event.preventDefault();
    });
    this.listenForDrops();
    this.addEventListener(PICK_FILES, this.pick);
  }

  private readonly onHash = (): void => {
    const before = this.route;
    this.route = parseHash(window.location.hash);
    this.loadStage();
    // Settings in the address change without a new view.
    this.focusAfterUpdate = keyOf(before) !== keyOf(this.route);
  };

  /** The element with its renderer comes with the first view that needs it. */
  private loadStage(): void {
    const { view } = this.route;
    if ((view !== 'scene' && view !== 'view') || this.stageLoaded) return;
    Promise.all([import('./views/scene'), import('./views/view')]).then(
      () => {
        this.stageLoaded = true;
      },
      () => {
        this.app.toasts.fail(makeProblem('SERVER_AWAY'), 'The viewer was not loaded');
        this.app.connection.lost();
      },
    );
  }

  protected override updated(): void {
    if (!this.focusAfterUpdate) return;
    this.focusAfterUpdate = false;
    document.title = `${TITLES[this.route.view]} · Epipar`;
    window.scrollTo(0, 0);
    this.querySelector<HTMLElement>('main')?.focus({ preventScroll: true });
  }

  protected override render(): TemplateResult {
    return html`
      <a class="button skip" href="#main" @click=${this.skip}>Skip to content</a>
      ${this.header()} ${this.banner()}
      <main id="main" tabindex="-1">${this.view()}</main>
      ${this.toastList()}
      <input
        class="picker"
        type="file"
        hidden
        multiple
        accept=${ACCEPT}
        aria-label="Videos, photos or a ZIP of photos"
        @change=${this.onPicked}
      />
      ${
        this.dropping
          ? html`<div class="drop-veil"><div>${icon('upload', 32)}Drop to make a scene</div></div>`
          : nothing
      }
    `;
  }

  private header(): TemplateResult {
    const { view } = this.route;
    const current = (views: ViewName[]): 'page' | typeof nothing =>
      views.includes(view) ? 'page' : nothing;
    const other = this.app.theme.shown === 'dark' ? 'light' : 'dark';
    // A page of files alone has no scenes, jobs and uploads behind it.
    const isAlone = view === 'view';
    return html`<header class="header">
      ${
        isAlone
          ? html`<span class="brand alone">${icon('logo', 24)}<span>Epipar</span></span>`
          : html`<a class="brand" href="#/">${icon('logo', 24)}<span>Epipar</span></a>
              <nav class="nav" aria-label="Main">
                <a href="#/" aria-current=${current(['scenes', 'scene'])}>Scenes</a>
                <a href="#/jobs" aria-current=${current(['jobs', 'job'])}>Jobs</a>
              </nav>`
      }
      <button
        class="button plain square"
        aria-label="Use ${other} colours"
        title="Use ${other} colours"
        @click=${() => {
          this.app.theme.toggle();
        }}
      >
        ${icon(other === 'dark' ? 'moon' : 'sun')}
      </button>
      ${
        isAlone
          ? nothing
          : html`<button class="button primary" @click=${this.pick}>
              ${icon('plus')}<span class="upload-word">New scene</span>
            </button>`
      }
    </header>`;
  }

  private banner(): TemplateResult {
    const words = {
      online: '',
      offline:
        'This device is offline. Nothing is lost: everything goes on when the network is back.',
      away: 'The server does not answer. Jobs go on by themselves; this page tries again.',
    }[this.app.connection.state];
    return html`<div role="status">
      ${words ? html`<p class="banner">${icon('alert', 18)}${words}</p>` : nothing}
    </div>`;
  }

  private view(): TemplateResult {
    const { app, route } = this;
    const needsStage = route.view === 'scene' || route.view === 'view';
    if (needsStage && !this.stageLoaded) {
      return html`<div class="page">${waiting('Loading the viewer…')}</div>`;
    }
    switch (route.view) {
      case 'scenes':
        return html`<ep-scenes .app=${app} .query=${route.params.get('q') ?? ''}></ep-scenes>`;
      case 'scene':
        return html`<ep-scene
          .app=${app}
          .name=${`scenes/${route.id}`}
          .params=${route.params}
        ></ep-scene>`;
      case 'jobs':
        return html`<ep-jobs .app=${app} .params=${route.params}></ep-jobs>`;
      case 'job':
        return html`<ep-job .app=${app} .name=${`jobs/${route.id}`}></ep-job>`;
      case 'view':
        return html`<ep-view .app=${app} .params=${route.params}></ep-view>`;
      case 'missing':
        return html`<div class="page stack">
          <h1>There is nothing here</h1>
          <p>The address may be mistyped, or what it led to is gone.</p>
          <p><a class="button" href="#/">${icon('back')}To the scenes</a></p>
        </div>`;
    }
  }

  private toastList(): TemplateResult {
    return html`<div class="toasts" aria-live="polite" aria-relevant="additions">
      ${this.app.toasts.items.map(
        (toast) =>
          html`<div class="toast ${toast.kind}" role=${toast.kind === 'error' ? 'alert' : nothing}>
            ${icon(toast.kind === 'info' ? 'check' : 'alert')}
            <div class="toast-text">
              <strong>${toast.title}</strong>
              ${toast.text ? html`<p class="small">${toast.text}</p>` : nothing}
              ${toast.href ? html`<p class="small"><a href=${toast.href}>Show</a></p>` : nothing}
            </div>
            <button
              class="button plain square"
              aria-label="Close"
              @click=${() => {
                this.app.toasts.close(toast.id);
              }}
            >
              ${icon('close', 18)}
            </button>
          </div>`,
      )}
    </div>`;
  }

  private readonly pick = (): void => {
    this.querySelector<HTMLInputElement>('.picker')?.click();
  };

  private readonly skip = (event: Event): void => {
    event.preventDefault();
    this.querySelector<HTMLElement>('main')?.focus();
  };

  private readonly onPicked = (event: Event): void => {
    const input = event.target as HTMLInputElement;
    const files = [...(input.files ?? [])];
    input.value = '';
    void this.take(files);
  };

  private async take(files: File[]): Promise<void> {
    if (files.length === 0) return;
    const { parcels, refused } = await this.app.uploads.add(files);
    for (const { problem } of refused) this.app.toasts.fail(problem);
    // The list of uploads is on the page of the scenes.
    if (parcels.length > 0 && this.route.view !== 'scenes') window.location.hash = '#/';
  }

  private onJob(event: JobStarted): void {
    this.app.toasts.say('Upload complete. The reconstruction has been queued.', hrefOf(event.job));
  }

  private listenForDrops(): void {
    let depth = 0;
    const hasFiles = (event: DragEvent): boolean =>
      event.dataTransfer?.types.includes('Files') ?? false;
    // A page of files alone takes no files; it is not replaced by one either.
    const isWelcome = (): boolean => this.route.view !== 'view';
    window.addEventListener('dragenter', (event) => {
      if (hasFiles(event)) this.dropping = ++depth > 0 && isWelcome();
    });
    window.addEventListener('dragleave', (event) => {
      if (hasFiles(event)) this.dropping = --depth > 0 && isWelcome();
    });
    window.addEventListener('dragover', (event) => {
      if (hasFiles(event)) event.preventDefault();
    });
    window.addEventListener('drop', (event) => {
      depth = 0;
      this.dropping = false;
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      if (!isWelcome()) return;
      void filesOfDrop(event.dataTransfer).then((files) => this.take(files));
    });
  }
}

const keyOf = (route: Route): string => ('id' in route ? `${route.view}/${route.id}` : route.view);

declare global {
  interface HTMLElementTagNameMap {
    'ep-app': App;
  }
}
