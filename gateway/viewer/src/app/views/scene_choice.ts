/** Which version of a scene is shown, and what is shown before there is one. */
import { html, nothing, type TemplateResult } from 'lit';
import { Scene_State, type Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { icon } from '../ui/icons';

/** One thing that can be chosen. */
export interface Choice {
  /** Stands in the address: the export's name, or "completion/export". */
  readonly key: string;
  readonly title: string;
  /** Whose it is; "" for the scene's own. */
  readonly completion: string;
}

/** What can be shown, one of it chosen; and whether it stands beside what was before. */
export function choiceSection(
  models: readonly Choice[],
  model: Choice,
  compared: boolean,
  choose: (key: string) => void,
  compare: (wanted: boolean) => void,
): TemplateResult | typeof nothing {
  if (models.length < 2) return nothing;
  return html`<section>
    <h2 id="choice">Shown</h2>
    <div class="choices" role="group" aria-labelledby="choice">
      ${models.map(
        ({ key, title }) =>
          html`<button
            class="button"
            aria-pressed=${key === model.key ? 'true' : 'false'}
            @click=${() => {
              choose(key);
            }}
          >
            ${title}
          </button>`,
      )}
    </div>
    ${
      model.completion
        ? html`<label class="check">
            <input
              type="checkbox"
              .checked=${compared}
              @change=${(event: Event) => {
                compare((event.target as HTMLInputElement).checked);
              }}
            />
            Compare with before
          </label>`
        : nothing
    }
  </section>`;
}

/** What stands in the viewer's place before there is anything to view. */
export function emptyStage(scene: Scene): TemplateResult {
  const words: Readonly<Record<Scene_State, readonly [string, string]>> = {
    [Scene_State.UNSPECIFIED]: ['Nothing to show', 'This scene has no files.'],
    [Scene_State.EMPTY]: ['This scene is empty', 'Upload a video to fill it.'],
    [Scene_State.RECONSTRUCTING]: [
      'Your scene is in the making',
      'It appears here by itself as soon as it is ready. You can close this page meanwhile.',
    ],
    [Scene_State.READY]: [
      'No export to show',
      'The depth is ready; make an export to see it here.',
    ],
    [Scene_State.FAILED]: [
      'This scene could not be made',
      'Why, and what helps, stands with its job.',
    ],
  };
  const [title, text] = words[scene.state];
  return html`<div class="stage-empty">
    <span class="drop-icon">${icon(scene.state === Scene_State.FAILED ? 'alert' : 'box', 30)}</span>
    <p class="drop-title">${title}</p>
    <p class="muted">${text}</p>
  </div>`;
}
