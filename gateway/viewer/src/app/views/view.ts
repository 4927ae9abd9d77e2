/** Any tileset or GLB by its address: what `epipar view` opens. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { makeProblem } from '../api/errors';
import { replaceParams, viewableUrl } from '../router';
import { icon } from '../ui/icons';
import { Part } from '../ui/part';
import { problemCard } from '../ui/pieces';
import type { CompletionFacts } from './files';
import { choiceSection } from './scene_choice';
import type { Shown } from './stage';
import { modelsOfView, type ViewModel } from './view_models';
import { readSettings, VIEW_DEFAULTS, type ViewSettings } from './view_settings';
import './stage';

@customElement('ep-view')
export class ViewPage extends Part {
  @property({ attribute: false }) params = new URLSearchParams();
  @state() private chosen = '';
  @state() private compared = false;
  @state() private isOpen = window.matchMedia('(min-width: 800px)').matches;
  @state() private completed: Readonly<Record<string, CompletionFacts>> = {};
  private models: readonly ViewModel[] = [];
  private settings = VIEW_DEFAULTS;

  private readonly onSettings = (event: CustomEvent<ViewSettings>): void => {
    this.settings = event.detail;
  };

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('params')) return;
    this.settings = readSettings(this.params);
    this.models = modelsOfView(this.params);
    this.chosen = this.params.get('of') ?? '';
    this.compared = this.params.get('compare') === '1';
    void this.loadFacts();
  }

  private get model(): ViewModel | undefined {
    return this.models.find(({ key }) => key === this.chosen) ?? this.models[0];
  }

  protected override render(): TemplateResult {
    const { model } = this;
    const title = this.params.get('title') ?? 'Scene';
    if (model === undefined) {
      return html`<div class="page stack">
        <h1>Nothing to view</h1>
        ${problemCard(
          makeProblem(
            'BROKEN_SCENE',
            'The address must say ?src= with an http address of a tileset.json or a .glb.',
          ),
        )}
      </div>`;
    }
    document.title = `${title} · Epipar`;
    const hasChoice = this.models.length > 1;
    return html`<div class="scene ${hasChoice && this.isOpen ? 'with-side' : ''}">
      ${hasChoice ? nothing : html`<h1 class="sr-only">${title}</h1>`}
      <div class="scene-stage">
        <ep-stage
          .app=${this.app}
          .heading=${title}
          .shown=${this.shown(model)}
          .settings=${this.settings}
          @ep-settings=${this.onSettings}
        ></ep-stage>
      </div>
      ${hasChoice ? this.side(title, model) : nothing}
    </div>`;
  }

  private shown(model: ViewModel): Shown {
    const cameras = viewableUrl(this.params.get('cameras'));
    const before = this.models.find(({ completion }) => completion === '');
    const isCompared = this.compared && model.completion !== '' && before !== undefined;
    const filled = this.completed[model.src]?.filled;
    return {
      src: model.src,
      ...(cameras !== null && { cameras }),
      ...(model.surface !== undefined && { surface: model.surface }),
      ...(isCompared && { before: before.src }),
      ...(filled && { filled }),
    };
  }

  private side(title: string, model: ViewModel): TemplateResult {
    const words = this.isOpen ? 'Hide details' : 'Show details';
    return html`<aside class="side" aria-label="What is shown">
      <div class="side-head">
        <h1>${title}</h1>
        <button
          class="button plain square"
          aria-label=${words}
          title=${words}
          aria-expanded=${this.isOpen ? 'true' : 'false'}
          aria-controls="side-body"
          @click=${() => {
            this.isOpen = !this.isOpen;
          }}
        >
          ${icon('panel')}
        </button>
      </div>
      <div id="side-body" class="side-body" ?hidden=${!this.isOpen}>
        ${choiceSection(this.models, model, this.compared, this.choose, this.compare)}
      </div>
    </aside>`;
  }

  private readonly choose = (key: string): void => {
    this.chosen = key;
    replaceParams({ of: key === this.models[0]?.key ? null : key });
    void this.loadFacts();
  };

  private readonly compare = (wanted: boolean): void => {
    this.compared = wanted;
    replaceParams({ compare: wanted ? '1' : null });
  };

  /** What was filled is an extra: without it the completion is shown all the same. */
  private async loadFacts(): Promise<void> {
    const { model } = this;
    if (model?.facts === undefined || this.completed[model.src]) return;
    try {
      const answer = await fetch(model.facts);
      if (!answer.ok) return;
      const facts = (await answer.json()) as CompletionFacts;
      this.completed = { ...this.completed, [model.src]: facts };
    } catch {
      // It is not there, or no JSON.
    }
  }
}
