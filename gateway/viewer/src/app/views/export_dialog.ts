/** Asks what a new export is to be, and queues it. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { Codec, Geometry } from '../../gen/epipar/export/v1/export_service_pb';
import type { Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { problemOf, type Problem } from '../api/errors';
import { newRequestId } from '../jobs/starter';
import { Part } from '../ui/part';
import { problemCard } from '../ui/pieces';

const CODECS: readonly (readonly [Codec, string])[] = [
  [Codec.MESHOPT, 'meshopt: small and quick'],
  [Codec.DRACO, 'Draco: few readers take points'],
  [Codec.NONE, 'None: any reader, large'],
];
const NAME_PATTERN = '[a-z0-9_\\-]{1,64}';

/** Fires "ep-started" (bubbling, detail: the job). */
@customElement('ep-export-dialog')
export class ExportDialog extends Part {
  @property() scene = '';
  @state() private problem: Problem | undefined;
  @state() private sending = false;
  @query('dialog') private dialog!: HTMLDialogElement;

  /** Show the dialog. */
  open(): void {
    this.problem = undefined;
    this.dialog.showModal();
  }

  protected override render(): TemplateResult {
    return html`<dialog aria-labelledby="export-title">
      <form class="dialog-body" @submit=${this.submit}>
        <h2 id="export-title">New export</h2>
        <label class="field">
          <span>Name</span>
          <input
            name="name"
            type="text"
            required
            pattern=${NAME_PATTERN}
            maxlength="64"
            placeholder="for-print"
            autocomplete="off"
            title="1 to 64 characters of a–z, 0–9, “-” and “_”"
          />
        </label>
        <label class="field">
          <span>Compression</span>
          <select name="codec">
            ${CODECS.map(([, words], index) => html`<option value=${index}>${words}</option>`)}
          </select>
        </label>
        <div class="pair">
          <label class="field">
            <span>Bits a coordinate</span>
            <input name="bits" type="number" min="8" max="16" value="14" required />
          </label>
          <label class="field">
            <span>Most points</span>
            <input
              name="points"
              type="number"
              min="100"
              max="100000000"
              value="10000000"
              required
            />
          </label>
        </div>
        <label class="check">
          <input name="surface" type="checkbox" />
          Also make a surface of triangles
        </label>
        ${this.problem ? problemCard(this.problem) : nothing}
        <div class="dialog-actions">
          <button
            type="button"
            class="button"
            @click=${() => {
              this.dialog.close();
            }}
          >
            Cancel
          </button>
          <button class="button primary" ?disabled=${this.sending}>Export</button>
        </div>
      </form>
    </dialog>`;
  }

  private readonly submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    void this.start(
      textOf(form, 'name'),
      CODECS[Number(textOf(form, 'codec'))]?.[0] ?? Codec.MESHOPT,
      Number(textOf(form, 'bits')),
      Number(textOf(form, 'points')),
      form.has('surface'),
    );
  };

  private async start(
    exportName: string,
    codec: Codec,
    bits: number,
    points: number,
    hasSurface: boolean,
  ): Promise<void> {
    this.sending = true;
    this.problem = undefined;
    try {
      const job = await this.app.starter.export({
        scene: this.scene,
        exportName,
        requestId: newRequestId(),
        options: {
          codec,
          positionBits: bits,
          fullPoints: points,
          // The coarser levels may not exceed the full one.
          mediumPoints: Math.min(points, 1_000_000),
          previewPoints: Math.min(points, 80_000),
          precompress: ['zstd'],
          geometry: hasSurface ? Geometry.POINTS_AND_SURFACE : Geometry.POINTS,
        },
      });
      this.dialog.close();
      this.dispatchEvent(new CustomEvent<Job>('ep-started', { detail: job, bubbles: true }));
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.sending = false;
  }
}

const textOf = (form: FormData, name: string): string => {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
};

declare global {
  interface HTMLElementTagNameMap {
    'ep-export-dialog': ExportDialog;
  }
}
