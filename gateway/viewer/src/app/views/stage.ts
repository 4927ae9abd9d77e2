/** The viewer with its tools over it: one scene, or two of them side by side of a slider. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { ifDefined } from 'lit/directives/if-defined.js';
import { keyed } from 'lit/directives/keyed.js';
import type {
  DisplayDetail,
  EpiparViewer,
  Region,
  ViewerErrorDetail,
  ViewerStats,
} from '../../lib';
import '../../lib';
import { makeProblem, type Problem } from '../api/errors';
import { bytes } from '../format';
import { replaceParams } from '../router';
import type { IconName } from '../ui/icons';
import { Part } from '../ui/part';
import { problemCard } from '../ui/pieces';
import { paramsOf, VIEW_DEFAULTS, type ViewSettings } from './view_settings';
import { confidenceLegend, type FilledCounts, provenanceLegend, removeBar } from './stage_foot';
import { infoPanel } from './stage_info';
import { displayPanel } from './stage_panel';
import { splitSlider } from './stage_split';
import { surfaceChoice } from './stage_surface';
import { panelButton, toggle, tool } from './stage_tools';
import { wordsOfExtra, wordsOfFailure } from './stage_words';
import { keepTogether } from './together';

/** What is shown: a scene, and what it is compared with. */
export interface Shown {
  readonly src: string;
  readonly cameras?: string;
  /** What was before, shown left of the slider. */
  readonly before?: string;
  /** A GLB of triangles, where the export has one. */
  readonly surface?: string;
  /** Where filled pixels come from, as far as that is known. */
  readonly filled?: FilledCounts;
}

/**
 * Fires "ep-settings" (detail: ViewSettings) when a person changes them;
 * "ep-region" (detail: a Region) when a box is to be emptied,
 * "ep-region-end" when it is not.
 */

@customElement('ep-stage')
export class Stage extends Part {
  @property({ attribute: false }) shown: Shown | undefined;
  @property({ attribute: false }) settings: ViewSettings = VIEW_DEFAULTS;
  /** For file names and labels. */
  @property() heading = 'scene';
  /** Shows the box that marks something. */
  @property({ type: Boolean }) marking = false;
  @state() private region: Region | undefined;
  @state() private stats: ViewerStats | undefined;
  @state() private problem: Problem | undefined;
  @state() private brokenTiles = 0;
  /** What was wrong with the last broken tile; "" where none was. */
  private lastBroken = '';
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
    if (changed.has('marking')) this.region = undefined;
    const before = changed.get('shown');
    if (changed.has('shown') && before?.src !== this.shown?.src) {
      this.stats = this.problem = undefined;
      this.brokenTiles = 0;
      this.lastBroken = '';
      this.visible = false;
    }
  }

  /** The viewer's own keys change what it shows: the buttons and the address follow. */
  private readonly onDisplay = (event: CustomEvent<DisplayDetail>): void => {
    const { colorMode: color, showCameras: cameras } = event.detail;
    this.change({ color, cameras });
  };

  private readonly onRegion = (event: CustomEvent<Region>): void => {
    this.region = event.detail;
  };

  private readonly endMarking = (): void => {
    this.dispatchEvent(new CustomEvent('ep-region-end', { bubbles: true }));
  };

  private readonly takeRegion = (): void => {
    const { region } = this;
    if (region) this.dispatchEvent(new CustomEvent('ep-region', { detail: region, bubbles: true }));
  };

  private readonly moveSplit = (percent: number): void => {
    this.split = percent;
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
      @epipar-display=${this.onDisplay}
      @epipar-region=${this.onRegion}
      @epipar-region-end=${this.endMarking}
      @epipar-progress=${this.onStats}
      @epipar-settled=${this.onSettled}
      @epipar-first-pixels=${this.onFirstPixels}
      @epipar-error=${this.onError}
    >
      ${this.element(shown.src, shown.cameras, 'after')}
      ${shown.before ? this.element(shown.before, undefined, 'before') : nothing}
      ${shown.before ? splitSlider(this.split, this.moveSplit) : nothing} ${this.overlay()}
      ${this.problem ? html`<div class="stage-problem">${problemCard(this.problem)}</div>` : this.toolbar()}
    </div>`;
  }

  private element(
    src: string,
    cameras: string | undefined,
    which: 'before' | 'after',
  ): TemplateResult {
    const { color, edl, pointSize, minConfidence, budget, renderer, cameras: show } = this.settings;
    const { surface, lit } = this.settings;
    const surfaceSrc = which === 'after' ? this.shown?.surface : undefined;
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
        surface=${surfaceSrc === undefined ? 'points' : surface}
        surface-src=${ifDefined(surfaceSrc)}
        ?surface-lit=${lit}
        ?show-cameras=${show}
        ?region-tool=${this.marking && which === 'after'}
      ></epipar-viewer>`,
    )}`;
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
      ${problem ? nothing : this.foot()}
    `;
  }

  private foot(): TemplateResult {
    const { color } = this.settings;
    const isBare = this.visible && this.stats?.hasProvenance === false;
    return html`<div class="stage-foot">
      ${color === 'confidence' ? confidenceLegend() : nothing}
      ${color === 'provenance' ? provenanceLegend(this.shown?.filled, isBare) : nothing}
      ${
        this.marking
          ? removeBar(this.region !== undefined, this.takeRegion, this.endMarking)
          : nothing
      }
    </div>`;
  }

  private toolbar(): TemplateResult {
    const { settings } = this;
    return html`
      <div class="tools" role="toolbar" aria-label="View">
        ${
          this.shown?.surface
            ? surfaceChoice(settings, (change) => {
                this.change(change);
              })
            : nothing
        }
        ${toggle('cameras', 'Cameras', settings.cameras, () => {
          this.change({ cameras: !settings.cameras });
        })}
        ${this.colorToggle('heat', 'Confidence heat map', 'confidence')}
        ${
          this.stats?.hasProvenance || this.shown?.filled || settings.color === 'provenance'
            ? this.colorToggle('origin', 'What was filled', 'provenance')
            : nothing
        }
        ${this.panelTool('sliders', 'Display settings', 'display')}
        ${tool('home', 'Reset the view', () => this.viewer?.resetView())}
        ${tool('picture', 'Save a picture', () => void this.savePicture())}
        ${document.fullscreenEnabled ? tool('full', 'Full screen', () => void this.toggleFullscreen()) : nothing}
        ${this.panelTool('info', 'About this view', 'info')}
      </div>
      ${
        this.panel === 'display'
          ? displayPanel(settings, (change) => {
              this.change(change);
            })
          : nothing
      }
      ${this.panel === 'info' ? infoPanel(this.stats, this.brokenTiles) : nothing}
    `;
  }

  /** Shows points by something else than their colours, or by these again. */
  private colorToggle(name: IconName, label: string, color: ViewSettings['color']): TemplateResult {
    const isOn = this.settings.color === color;
    return toggle(name, label, isOn, () => {
      this.change({ color: isOn ? 'rgb' : color });
    });
  }

  private panelTool(name: IconName, label: string, panel: 'display' | 'info'): TemplateResult {
    const isOpen = this.panel === panel;
    return panelButton(name, label, panel, isOpen, () => {
      this.panel = isOpen ? '' : panel;
    });
  }

  private change(change: Partial<ViewSettings>): void {
    const settings = { ...this.settings, ...change };
    this.settings = settings;
    replaceParams(paramsOf(settings));
    // Who gives the settings gives them again with each rendering: they must be the same then.
    this.dispatchEvent(new CustomEvent('ep-settings', { detail: settings, bubbles: true }));
  }

  private readonly onStats = (event: CustomEvent<ViewerStats>): void => {
    if (event.target === this.viewer) this.stats = event.detail;
  };

  /** Where all that was asked for is broken, nothing more will come. */
  private readonly onSettled = (event: CustomEvent<ViewerStats>): void => {
    this.onStats(event);
    if (event.target !== this.viewer || this.lastBroken === '') return;
    if (!this.visible && event.detail.pointsResident === 0)
      this.problem = makeProblem('BROKEN_SCENE', this.lastBroken);
  };

  private readonly onFirstPixels = (event: Event): void => {
    if (event.target === this.viewer) this.visible = true;
  };

  private readonly onError = (event: CustomEvent<ViewerErrorDetail>): void => {
    const { fatal, message, url } = event.detail;
    const words = wordsOfExtra(url, this.shown);
    if (fatal) this.problem = makeProblem('BROKEN_SCENE', wordsOfFailure(event.detail));
    else if (words !== undefined) this.app.toasts.warn(words);
    else {
      this.lastBroken = message;
      if (this.brokenTiles++ === 0)
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

declare global {
  interface HTMLElementTagNameMap {
    'ep-stage': Stage;
  }
}
