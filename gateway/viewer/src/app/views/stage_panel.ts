/** The settings of the view: sizes, budget, light, renderer. */
import { html, type TemplateResult } from 'lit';
import { compact, percent } from '../format';
import { BUDGETS, POINT_SIZE, type ViewSettings } from './view_settings';

type Change = (change: Partial<ViewSettings>) => void;

const valueOf = (event: Event): string =>
  (event.target as HTMLInputElement | HTMLSelectElement).value;

export function displayPanel(settings: ViewSettings, change: Change): TemplateResult {
  return html`<div class="stage-panel card" role="group" aria-label="Display settings">
    <label class="field">
      <span>Point size <output class="muted">${settings.pointSize}×</output></span>
      <input
        type="range"
        min=${POINT_SIZE.min}
        max=${POINT_SIZE.max}
        step=${POINT_SIZE.step}
        .value=${String(settings.pointSize)}
        @input=${(event: Event) => {
          change({ pointSize: Number(valueOf(event)) });
        }}
      />
    </label>
    <label class="field">
      <span>
        Least confidence <output class="muted">${percent(settings.minConfidence)}</output>
      </span>
      <input
        type="range"
        min="0"
        max="0.95"
        step="0.05"
        .value=${String(settings.minConfidence)}
        @input=${(event: Event) => {
          change({ minConfidence: Number(valueOf(event)) });
        }}
      />
    </label>
    <label class="field">
      <span>Points at once</span>
      <select
        @change=${(event: Event) => {
          change({ budget: Number(valueOf(event)) });
        }}
      >
        ${BUDGETS.map(
          (points) =>
            html`<option value=${points} ?selected=${points === settings.budget}>
              ${points === 0 ? 'What suits this device' : compact(points)}
            </option>`,
        )}
      </select>
    </label>
    <label class="field">
      <span>Renderer</span>
      <select
        @change=${(event: Event) => {
          change({ renderer: valueOf(event) === 'webgpu' ? 'webgpu' : 'webgl2' });
        }}
      >
        <option value="webgl2" ?selected=${settings.renderer === 'webgl2'}>WebGL 2</option>
        <option value="webgpu" ?selected=${settings.renderer === 'webgpu'}>
          WebGPU, where there is one
        </option>
      </select>
    </label>
    <label class="check">
      <input
        type="checkbox"
        .checked=${settings.edl}
        @change=${(event: Event) => {
          change({ edl: (event.target as HTMLInputElement).checked });
        }}
      />
      Shade edges by depth
    </label>
  </div>`;
}
