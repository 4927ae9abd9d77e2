/** The choice between points and surface, where a scene has both. */
import { html, nothing, type TemplateResult } from 'lit';
import type { ViewSettings } from './view_settings';

const MODES: readonly (readonly [ViewSettings['surface'], string])[] = [
  ['points', 'Points'],
  ['surface', 'Surface'],
  ['both', 'Both'],
];

export function surfaceChoice(
  settings: ViewSettings,
  change: (change: Partial<ViewSettings>) => void,
): TemplateResult {
  const { surface, lit } = settings;
  const button = (words: string, isOn: boolean, to: Partial<ViewSettings>): TemplateResult =>
    html`<button
      class="button plain"
      aria-pressed=${isOn ? 'true' : 'false'}
      @click=${() => {
        change(to);
      }}
    >
      ${words}
    </button>`;
  return html`<span class="surface-choice" role="group" aria-label="What is drawn">
    ${MODES.map(([mode, words]) => button(words, surface === mode, { surface: mode }))}
    ${surface === 'points' ? nothing : button('Lit', lit, { lit: !lit })}
  </span>`;
}
