/** The buttons over the view: one that acts, one that stays pressed, one that opens a panel. */
import { html, type TemplateResult } from 'lit';
import { icon, type IconName } from '../ui/icons';

export const tool = (name: IconName, label: string, act: () => void): TemplateResult =>
  html`<button class="button plain square" aria-label=${label} title=${label} @click=${act}>
    ${icon(name)}
  </button>`;

export const toggle = (
  name: IconName,
  label: string,
  pressed: boolean,
  act: () => void,
): TemplateResult =>
  html`<button
    class="button plain square"
    aria-label=${label}
    title=${label}
    aria-pressed=${pressed ? 'true' : 'false'}
    @click=${act}
  >
    ${icon(name)}
  </button>`;

export const panelButton = (
  name: IconName,
  label: string,
  panel: string,
  isOpen: boolean,
  act: () => void,
): TemplateResult =>
  html`<button
    class="button plain square"
    data-panel=${panel}
    aria-label=${label}
    title=${label}
    aria-expanded=${isOpen ? 'true' : 'false'}
    @click=${act}
  >
    ${icon(name)}
  </button>`;
