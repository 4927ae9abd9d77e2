/** What stands at the foot of the view: what the colours mean, and what to do with the box. */
import { html, nothing, type TemplateResult } from 'lit';
import { CONFIDENCE_LEGEND, PROVENANCE_LEGEND, type Provenance } from '../../lib';
import { percent } from '../format';
import { icon } from '../ui/icons';

/** Pixels by the name of where they come from, as completion.json counts them. */
export type FilledCounts = Readonly<Record<string, number>>;

/** The colours of the heat map, from the element itself. */
export const confidenceLegend = (): TemplateResult =>
  html`<figure class="legend small">
    <figcaption>${CONFIDENCE_LEGEND.title}</figcaption>
    <span class="legend-bar" style="background: ${CONFIDENCE_LEGEND.css}"></span>
    <span class="legend-words"
      ><span>${CONFIDENCE_LEGEND.low}</span><span>${CONFIDENCE_LEGEND.high}</span></span
    >
  </figure>`;

/**
 * The colours of where points come from.
 *
 * Args:
 *   counts: where known, kinds that do not occur are left out and the others have their shares.
 *   isBare: nothing that is shown has been filled.
 */
export function provenanceLegend(
  counts: FilledCounts | undefined,
  isBare: boolean,
): TemplateResult {
  const { title, kinds } = PROVENANCE_LEGEND;
  const total = Object.values(counts ?? {}).reduce((sum, value) => sum + value, 0);
  const shown = kinds.filter(
    ({ value, name }) => value === 0 || (!isBare && (total === 0 || (counts?.[name] ?? 0) > 0)),
  );
  return html`<figure class="legend small">
    <figcaption>${title}</figcaption>
    <ul class="legend-list">
      ${shown.map((kind) => kindRow(kind, total > 0 ? (counts?.[kind.name] ?? 0) / total : undefined))}
    </ul>
    ${isBare ? html`<p class="legend-note">Nothing here has been filled.</p>` : nothing}
  </figure>`;
}

const kindRow = ({ value, title, color }: Provenance, share: number | undefined): TemplateResult =>
  html`<li>
    <span class="legend-dot" style="background: ${color}"></span>${title}
    ${
      share === undefined || value === 0
        ? nothing
        : html`<span class="numbers">${share < 0.01 ? '< 1 %' : percent(share)}</span>`
    }
  </li>`;

/** What to do with the box; `ready` once there is one. */
export const removeBar = (ready: boolean, remove: () => void, cancel: () => void): TemplateResult =>
  html`<div class="remove-bar card" role="group" aria-label="Remove something">
    <p class="remove-words">
      <strong>Put the box around what is to go</strong>
      <span class="small muted"
        >Drag the box or its handles, then turn the view and check it from the side.</span
      >
    </p>
    <div class="remove-actions">
      <button class="button" @click=${cancel}>Cancel</button>
      <button class="button primary" ?disabled=${!ready} @click=${remove}>
        ${icon('erase')}Remove what is in the box
      </button>
    </div>
  </div>`;
