/** The uploads of this page and those that an earlier visit left unfinished. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { Follow } from '../follow';
import { bytes, percent, remaining } from '../format';
import { hrefOf } from '../router';
import { icon, type IconName } from '../ui/icons';
import { askForFiles } from '../ui/pick';
import { Part } from '../ui/part';
import { bar, problemCard } from '../ui/pieces';
import type { UploadItem, UploadState } from '../upload/queue';
import type { EarlierUpload } from '../upload/sender';

const WORDS: Readonly<Record<UploadState, string>> = {
  waiting: 'Waiting for the upload before it',
  packing: 'Packing the photos',
  checking: 'Taking its fingerprint',
  sending: 'Uploading',
  paused: 'Paused',
  starting: 'Starting the reconstruction',
  done: 'Uploaded',
  failed: 'Not uploaded',
};

const MOVING: readonly UploadState[] = ['packing', 'checking', 'sending', 'paused'];

@customElement('ep-uploads')
export class UploadsView extends Part {
  constructor() {
    super();
    new Follow(this, () => this.app.uploads);
  }

  protected override render(): TemplateResult | typeof nothing {
    const { items, earlier } = this.app.uploads;
    if (items.length + earlier.length === 0) return nothing;
    return html`<section class="uploads" aria-label="Uploads">
      <ul>
        ${items.map((item) => this.row(item))} ${earlier.map((upload) => this.earlierRow(upload))}
      </ul>
    </section>`;
  }

  private row(item: UploadItem): TemplateResult {
    const share = item.sizeBytes > 0 ? item.sentBytes / item.sizeBytes : 0;
    const moving = MOVING.includes(item.state);
    return html`<li class="card upload-row">
      <div class="upload-text">
        <h2>${item.title}</h2>
        <p class="small muted numbers">${describe(item)}</p>
      </div>
      <div class="upload-actions">${this.actions(item)}</div>
      ${moving ? bar(`Upload of ${item.title}`, share) : nothing}
      ${item.state === 'starting' ? bar(`Start of ${item.title}`, undefined) : nothing}
      ${item.problem ? problemCard(item.problem) : nothing}
    </li>`;
  }

  private actions(item: UploadItem): TemplateResult {
    const { uploads } = this.app;
    const { id, state, title } = item;
    return html`
      ${
        state === 'sending'
          ? control('pause', `Pause ${title}`, () => {
              uploads.pause(id);
            })
          : nothing
      }
      ${
        state === 'paused'
          ? control('play', `Go on with ${title}`, () => {
              uploads.resume(id);
            })
          : nothing
      }
      ${
        state === 'failed'
          ? html`<button
              class="button"
              @click=${() => {
                uploads.resume(id);
              }}
            >
              ${icon('retry')}Try again
            </button>`
          : nothing
      }
      ${item.job ? html`<a class="button" href=${hrefOf(item.job)}>Watch the job</a>` : nothing}
      ${control('close', state === 'done' ? `Hide ${title}` : `Remove ${title}`, () => {
        uploads.remove(id);
      })}
    `;
  }

  private earlierRow(upload: EarlierUpload): TemplateResult {
    const share = upload.sizeBytes > 0 ? upload.sentBytes / upload.sizeBytes : 0;
    return html`<li class="card upload-row">
      <div class="upload-text">
        <h2>${upload.title}</h2>
        <p class="small muted">
          Interrupted at ${percent(share)} of ${bytes(upload.sizeBytes)}. Choose the same file
          again, and it goes on from there.
        </p>
      </div>
      <div class="upload-actions">
        <button class="button" @click=${askForFiles}>Choose it again</button>
        ${control('close', `Give up ${upload.title}`, () => void this.app.uploads.dismiss(upload))}
      </div>
      ${bar(`Upload of ${upload.title}`, share)}
    </li>`;
  }
}

/** "Uploading · 12.3 of 98.0 MB · 4.1 MB/s · about 20 s left". */
function describe(item: UploadItem): string {
  const parts = [WORDS[item.state]];
  if (item.state === 'sending' || item.state === 'checking' || item.state === 'paused') {
    parts.push(`${bytes(item.sentBytes)} of ${bytes(item.sizeBytes)}`);
  } else {
    parts.push(bytes(item.sizeBytes));
  }
  if (item.speed > 0) parts.push(`${bytes(item.speed)}/s`);
  const left = remaining(item.remainingS);
  if (left) parts.push(left);
  return parts.join(' · ');
}

const control = (name: IconName, label: string, act: () => void): TemplateResult =>
  html`<button class="button plain square" aria-label=${label} title=${label} @click=${act}>
    ${icon(name)}
  </button>`;
