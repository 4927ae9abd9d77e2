/** The side panel's part about filling and removing, and the requests behind its buttons. */
import { html, nothing, type TemplateResult } from 'lit';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Region } from '../../lib';
import { Intent } from '../../gen/epipar/inpaint/v1/inpaint_service_pb';
import type { StartCompletionRequestSchema } from '../../gen/epipar/scene/v1/job_service_pb';
import type { Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import type { Problem } from '../api/errors';
import { newRequestId } from '../jobs/starter';
import { icon } from '../ui/icons';
import { problemCard } from '../ui/pieces';
import { isRemoval, newRemovalName } from './scene_models';

type Request = MessageInitShape<typeof StartCompletionRequestSchema>;

export interface FillState {
  /** A completion runs, or is being asked for. */
  readonly busy: boolean;
  /** There is something to put a box around. */
  readonly canMark: boolean;
  readonly problem: Problem | undefined;
}

/** What is said and offered about filling and removing. */
export function fillSection(
  scene: Scene,
  state: FillState,
  fill: () => void,
  mark: () => void,
): TemplateResult {
  const filled = scene.completions.some(({ name }) => !isRemoval(name));
  return html`<section class="stack-s">
    <h2>Fill and remove</h2>
    <p class="small muted">
      ${
        filled
          ? 'What the camera never saw has been filled.'
          : 'What the camera never saw can be filled from other views and from planes around it.'
      }
      Things can be taken away, to see what is behind them. The original stays as it is.
    </p>
    <div class="fill-actions">
      ${
        filled
          ? nothing
          : html`<button class="button primary" ?disabled=${state.busy} @click=${fill}>
              ${icon('fill')}Fill missing regions
            </button>`
      }
      <button class="button remove-start" ?disabled=${state.busy || !state.canMark} @click=${mark}>
        ${icon('erase')}Remove something
      </button>
    </div>
    ${state.problem ? problemCard(state.problem) : nothing}
  </section>`;
}

/** Asks for what is missing to be put back. */
export const fillRequest = (scene: string): Request => ({
  scene,
  completionName: 'default',
  intent: Intent.COMPLETE,
  requestId: newRequestId(),
});

/** Asks for what is in a box to be taken away; the box is in scene coordinates, as a Region is. */
export function removeRequest(scene: string, { min, max }: Region): Request {
  const [x0, y0, z0] = min;
  const [x1, y1, z1] = max;
  const box = { min: { x: x0, y: y0, z: z0 }, max: { x: x1, y: y1, z: z1 } };
  return {
    scene,
    completionName: newRemovalName(),
    intent: Intent.REMOVE,
    masks: { regions: [{ shape: { case: 'box', value: box } }] },
    requestId: newRequestId(),
  };
}
