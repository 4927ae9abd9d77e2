/** Any tileset or GLB by its address: what `epipar view` opens. */
import { html, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { makeProblem } from '../api/errors';
import { viewableUrl } from '../router';
import { Part } from '../ui/part';
import { problemCard } from '../ui/pieces';
import { readSettings, VIEW_DEFAULTS, type ViewSettings } from './view_settings';
import './stage';

@customElement('ep-view')
export class ViewPage extends Part {
  @property({ attribute: false }) params = new URLSearchParams();
  private settings = VIEW_DEFAULTS;

  private readonly onSettings = (event: CustomEvent<ViewSettings>): void => {
    this.settings = event.detail;
  };

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('params')) this.settings = readSettings(this.params);
  }

  protected override render(): TemplateResult {
    const src = viewableUrl(this.params.get('src'));
    const cameras = viewableUrl(this.params.get('cameras'));
    const title = this.params.get('title') ?? 'Scene';
    if (src === null) {
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
    return html`<div class="scene">
      <h1 class="sr-only">${title}</h1>
      <div class="scene-stage">
        <ep-stage
          .app=${this.app}
          .heading=${title}
          .shown=${{ src, ...(cameras !== null && { cameras }) }}
          .settings=${this.settings}
          @ep-settings=${this.onSettings}
        ></ep-stage>
      </div>
    </div>`;
  }
}
