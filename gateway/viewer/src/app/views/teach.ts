/** The empty state: where to drop, what to film, what is taken. */
import { html, type TemplateResult } from 'lit';
import { icon, type IconName } from '../ui/icons';
import { askForFiles } from '../ui/pick';

const TIPS: readonly (readonly [IconName, string, string])[] = [
  [
    'walk',
    'Walk, do not only turn',
    'Depth comes from seeing things from two places. Move sideways around what you film, for 10 to 60 seconds.',
  ],
  [
    'overlap',
    'Go slowly, keep overlap',
    'Each picture should show most of the one before. No cuts, no quick swings, no zoom.',
  ],
  [
    'light',
    'Light and texture',
    'Bright, even light. Plain walls, glass and mirrors are hard: keep something with texture in view.',
  ],
];

/** How to begin. */
export function teachings(brief: boolean): TemplateResult {
  return html`
    ${brief ? '' : dropZone()}
    <ul class="tips">
      ${TIPS.map(
        ([name, title, text]) =>
          html`<li class="card tip">
            <span class="tip-icon">${icon(name, 22)}</span>
            <h2>${title}</h2>
            <p class="muted">${text}</p>
          </li>`,
      )}
    </ul>
  `;
}

function dropZone(): TemplateResult {
  return html`<div class="drop-zone">
    <span class="drop-icon">${icon('upload', 30)}</span>
    <p class="drop-title">Drop a video, or photos, anywhere on this page</p>
    <button class="button primary" @click=${askForFiles}>${icon('film')}Choose a file</button>
    <p class="small muted">
      MP4, MOV, M4V, MKV, WebM, AVI · photos as JPEG, PNG, WebP or a ZIP of them.<br />
      Uploads go on after a reload, and nothing leaves this server.
    </p>
  </div>`;
}
