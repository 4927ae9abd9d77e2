/** The panel that tells about the view: figures, and what hands and keys do. */
import { html, nothing, type TemplateResult } from 'lit';
import type { ViewerStats } from '../../lib';
import { bytes, compact, duration } from '../format';

type Row = readonly [string, string];

export function infoPanel(stats: ViewerStats | undefined, brokenTiles: number): TemplateResult {
  return html`<div class="stage-panel card" role="group" aria-label="About this view">
    <dl class="facts-list small">
      ${(stats ? rowsOf(stats, brokenTiles) : []).map(
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
      there. Keys: arrows, + and −, R reset, C cameras, F next camera, H heat map, P what was
      filled.
    </p>
  </div>`;
}

const rowsOf = (stats: ViewerStats, brokenTiles: number): readonly Row[] => [
  ['Points drawn', compact(stats.pointsDrawn)],
  ['Points in memory', compact(stats.pointsResident)],
  ['Tiles drawn', String(stats.nodesDrawn)],
  ['Fetched', bytes(stats.bytesFetched)],
  ['First pixels after', duration(stats.firstPixelsMs / 1000)],
  ['Last frame', `${stats.frameMs.toFixed(1)} ms`],
  ['Renderer', stats.renderer === 'webgpu' ? 'WebGPU' : 'WebGL 2'],
  ...(brokenTiles > 0 ? [['Tiles left out', String(brokenTiles)] as const] : []),
];
