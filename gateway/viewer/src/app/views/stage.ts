/** The viewer with its tools over it: one scene, or two of them side by side of a slider. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { ifDefined } from 'lit/directives/if-defined.js';
import { keyed } from 'lit/directives/keyed.js';
import {
  CONFIDENCE_LEGEND,
  type EpiparViewer,
  type ViewerErrorDetail,
  type ViewerStats,
} from '../../lib';
import { makeProblem, type Problem } from '../api/errors';
import { bytes, compact, duration } from '../format';
import { replaceParams } from '../router';
import { icon, type IconName } from '../ui/icons';
import { Part } from '../ui/part';
import { problemCard } from '../ui/pieces';
import { paramsOf, VIEW_DEFAULTS, type ViewSettings } from './view_settings';
import { displayPanel } from './stage_panel';
import { keepTogether } from './together';

/** What is shown: a scene, and what it is compared with. */
export interface Shown {
  readonly src: string;
  readonly cameras?: string;
  /** What was before, shown left of the slider. */
  readonly before?: string;
}

@customElement('ep-stage')
export class Stage extends Part {
  @property({ attribute: false }) shown: Shown | undefined;
  @property({ attribute: false }) settings: ViewSettings = VIEW_DEFAULTS;
  /** For file names and labels. */
  @property() heading = 'scene';
  @state() private stats: ViewerStats | undefined;
  @state() private problem: Problem | undefined;
  @state() private brokenTiles = 0;
  @state() private panel: 'display' | 'info' | '' = '';
  @state() private visible = false;
  @state() private split = 50;
  @query('epipar-viewer.after') private viewer!: EpiparViewer | null;
  @query('epipar-viewer.before') private beforeViewer!: EpiparViewer | null;
  private unlink: (() => void) | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unlink?.();
    document.removeEventListener('keydown', this.onKey);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener('keydown', this.onKey);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get('shown');
    if (changed.has('shown') && before?.src !== this.shown?.src) {
      this.stats = this.problem = undefined;
      this.brokenTiles = 0;
      this.visible = false;
    }
  }

  /** The viewer's own keys change what it shows: the buttons and the address follow. */
  private readonly onViewerKey = (): void => {
    const { viewer } = this;
    if (!viewer) return;
    const { colorMode: color, showCameras: cameras } = viewer;
    if (color !== this.settings.color || cameras !== this.settings.cameras) {
      this.change({ color, cameras });
    }
  };

  protected override updated(): void {
    this.unlink?.();
    this.unlink =
      this.viewer && this.beforeViewer ? keepTogether(this.viewer, this.beforeViewer) : undefined;
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Escape' || this.panel === '') return;
    const button = this.querySelector<HTMLElement>(`[data-panel="${this.panel}"]`);
    this.panel = '';
    button?.focus();
  };

  protected override render(): TemplateResult {
    const { shown } = this;
    if (!shown) return html``;
    return html`<div
      class="stage"
      style="--split: ${this.split}%"
      @keyup=${this.onViewerKey}
      @epipar-progress=${this.onStats}
      @epipar-settled=${this.onStats}
      @epipar-first-pixels=${this.onFirstPixels}
      @epipar-error=${this.onError}
    >
      ${this.element(shown.src, shown.cameras, 'after')}
      ${shown.before ? this.element(shown.before, undefined, 'before') : nothing}
      ${shown.before ? this.slider() : nothing} ${this.overlay()}
      ${this.problem ? html`<div class="stage-problem">${problemCard(this.problem)}</div>` : this.toolbar()}
    </div>`;
  }

  private element(
    src: string,
    cameras: string | undefined,
    which: 'before' | 'after',
  ): TemplateResult {
    const { color, edl, pointSize, minConfidence, budget, renderer, cameras: show } = this.settings;
    const share = this.shown?.before ? 0.5 : 1;
    // A viewer takes another renderer only when it enters the page anew.
    return html`${keyed(
      renderer,
      html`<epipar-viewer
        class=${which}
        src=${src}
        cameras=${ifDefined(cameras)}
        label=${which === 'before' ? `${this.heading}, before filling` : this.heading}
        color-mode=${color}
        edl=${edl ? 1 : 0}
        point-size=${pointSize}
        min-confidence=${minConfidence}
        point-budget=${ifDefined(budget > 0 ? Math.round(budget * share) : undefined)}
        renderer=${renderer}
        ?show-cameras=${show}
      ></epipar-viewer>`,
    )}`;
  }

  private slider(): TemplateResult {
    return html`<span class="split-line" aria-hidden="true">${icon('compare', 18)}</span>
      <span class="split-word left" aria-hidden="true">Before</span>
      <span class="split-word right" aria-hidden="true">After</span>
      <input
        class="split"
        type="range"
        min="0"
        max="100"
        aria-label="Before and after"
        aria-valuetext="${this.split} % before"
        .value=${String(this.split)}
        @input=${(event: Event) => {
          this.split = Number((event.target as HTMLInputElement).value);
        }}
      />`;
  }

  /** What is loading, and what the colours mean. */
  private overlay(): TemplateResult {
    const { stats, visible, problem } = this;
    const loading = !problem && (!visible || (stats?.nodesLoading ?? 0) > 0);
    return html`
      ${
        loading
          ? html`<p class="stage-loading small numbers">
              ${visible ? 'Refining' : 'Loading the scene'}
              ${stats && stats.bytesFetched > 0 ? html`· ${bytes(stats.bytesFetched)}` : '…'}
            </p>`
          : nothing
      }
      ${this.settings.color === 'confidence' && !problem ? legend() : nothing}
    `;
  }

  private toolbar(): TemplateResult {
    const { settings } = this;
    return html`
      <div class="tools" role="toolbar" aria-label="View">
        ${this.toggle('cameras', 'Cameras', settings.cameras, { cameras: !settings.cameras })}
        ${this.toggle('heat', 'Confidence heat map', settings.color === 'confidence', {
          color: settings.color === 'confidence' ? 'rgb' : 'confidence',
        })}
        ${this.panelButton('sliders', 'Display settings', 'display')}
        ${tool('home', 'Reset the view', () => this.viewer?.resetView())}
        ${tool('picture', 'Save a picture', () => void this.savePicture())}
        ${document.fullscreenEnabled ? tool('full', 'Full screen', () => void this.toggleFullscreen()) : nothing}
        ${this.panelButton('info', 'About this view', 'info')}
      </div>
      ${
        this.panel === 'display'
          ? displayPanel(settings, (change) => {
              this.change(change);
            })
          : nothing
      }
      ${this.panel === 'info' ? this.infoPanel() : nothing}
    `;
  }

  private toggle(
    name: IconName,
    label: string,
    pressed: boolean,
    change: Partial<ViewSettings>,
  ): TemplateResult {
    return html`<button
      class="button plain square"
      aria-label=${label}
      title=${label}
      aria-pressed=${pressed ? 'true' : 'false'}
      @click=${() => {
        this.change(change);
      }}
    >
      ${icon(name)}
    </button>`;
  }

  private panelButton(name: IconName, label: string, panel: 'display' | 'info'): TemplateResult {
    const open = this.panel === panel;
    return html`<button
      class="button plain square"
      data-panel=${panel}
      aria-label=${label}
      title=${label}
      aria-expanded=${open ? 'true' : 'false'}
      @click=${() => {
        this.panel = open ? '' : panel;
      }}
    >
      ${icon(name)}
    </button>`;
  }

  private infoPanel(): TemplateResult {
    const { stats } = this;
    const rows: readonly (readonly [string, string])[] = stats
      ? [
          ['Points drawn', compact(stats.pointsDrawn)],
          ['Points in memory', compact(stats.pointsResident)],
          ['Tiles drawn', String(stats.nodesDrawn)],
          ['Fetched', bytes(stats.bytesFetched)],
          ['First pixels after', duration(stats.firstPixelsMs / 1000)],
          ['Last frame', `${stats.frameMs.toFixed(1)} ms`],
          ['Renderer', stats.renderer === 'webgpu' ? 'WebGPU' : 'WebGL 2'],
          ...(this.brokenTiles > 0 ? [['Tiles left out', String(this.brokenTiles)] as const] : []),
        ]
      : [];
    return html`<div class="stage-panel card" role="group" aria-label="About this view">
      <dl class="facts-list small">
        ${rows.map(
          ([name, value]) =>
            html`<div>
              <dt>${name}</dt>
              <dd class="numbers">${value}</dd>
            </div>`,
        )}
      </dl>
      ${stats?.note ? html`<p class="small muted">${stats.note}</p>` : nothing}
      <p class="small muted">
        Drag turns, two fingers or the right button move, wheel or pinch zooms, a double click goes
        there. Keys: arrows, + and −, R reset, C cameras, F next camera, H heat map.
      </p>
    </div>`;
  }

  private change(change: Partial<ViewSettings>): void {
    this.settings = { ...this.settings, ...change };
    replaceParams(paramsOf(this.settings));
  }

  private readonly onStats = (event: CustomEvent<ViewerStats>): void => {
    if (event.target === this.viewer) this.stats = event.detail;
  };

  private readonly onFirstPixels = (event: Event): void => {
    if (event.target === this.viewer) this.visible = true;
  };

  private readonly onError = (event: CustomEvent<ViewerErrorDetail>): void => {
    const { fatal, message } = event.detail;
    if (fatal) {
      this.problem = makeProblem('BROKEN_SCENE', message);
      return;
    }
    if (this.brokenTiles++ === 0) {
      this.app.toasts.warn(
        'A part of the scene cannot be read and is left out; the rest is shown.',
      );
    }
  };

  private async savePicture(): Promise<void> {
    const { viewer } = this;
    if (!viewer) return;
    try {
      const url = URL.createObjectURL(await viewer.screenshot());
      const link = document.createElement('a');
      link.href = url;
      link.download = `${this.heading}.png`;
      link.click();
      setTimeout(() => {
        URL.revokeObjectURL(url);
      }, 10_000);
      this.app.toasts.say('The picture has been saved.');
    } catch (error) {
      this.app.toasts.fail(makeProblem('UNSPECIFIED', String(error)), 'No picture');
    }
  }

  private async toggleFullscreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.querySelector('.stage')?.requestFullscreen();
  }
}

const tool = (name: IconName, label: string, act: () => void): TemplateResult =>
  html`<button class="button plain square" aria-label=${label} title=${label} @click=${act}>
    ${icon(name)}
  </button>`;

/** The colours of the heat map, from the element itself. */
const legend = (): TemplateResult =>
  html`<figure class="legend small">
    <figcaption>${CONFIDENCE_LEGEND.title}</figcaption>
    <span class="legend-bar" style="background: ${CONFIDENCE_LEGEND.css}"></span>
    <span class="legend-words"
      ><span>${CONFIDENCE_LEGEND.low}</span><span>${CONFIDENCE_LEGEND.high}</span></span
    >
  </figure>`;

declare global {
  interface HTMLElementTagNameMap {
    'ep-stage': Stage;
  }
}
