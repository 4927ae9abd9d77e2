/** The page of one job. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import { problemOf } from '../api/errors';
import { Follow } from '../follow';
import { idOf } from '../format';
import { isActive, kindWords } from '../jobs/job_state';
import { hrefOf } from '../router';
import { icon } from '../ui/icons';
import { Part } from '../ui/part';
import './job_panel';

@customElement('ep-job')
export class JobPage extends Part {
  @property() name = '';
  @state() private job: Job | undefined;

  constructor() {
    super();
    new Follow(this, () => this.app.names);
  }

  protected override render(): TemplateResult {
    const job = this.job?.name === this.name ? this.job : undefined;
    const scene = job?.scene ?? '';
    return html`<div class="page narrow">
      <p class="crumbs small">
        <a href="#/jobs">Jobs</a> <span aria-hidden="true">/</span> ${idOf(this.name)}
      </p>
      <div class="page-head">
        <h1>${job ? `${kindWords(job.kind)} of ${this.app.names.titleOf(scene)}` : 'Job'}</h1>
        ${
          scene
            ? html`<a
                class="button ${job?.state === Job_State.SUCCEEDED ? 'primary' : ''}"
                href=${hrefOf(scene)}
                >${icon('box')}Open the scene</a
              >`
            : nothing
        }
        ${
          job && !isActive(job.state)
            ? html`<button class="button" @click=${() => void this.delete(job)}>
                ${icon('trash')}Delete
              </button>`
            : nothing
        }
      </div>
      <section class="card job-card" aria-label="Progress">
        <ep-job-panel
          .app=${this.app}
          .name=${this.name}
          @ep-job=${(event: CustomEvent<Job>) => {
            this.job = event.detail;
          }}
        ></ep-job-panel>
      </section>
      ${
        job && isActive(job.state)
          ? html`<p class="small muted job-note">
              You can close this page: the job goes on by itself, and its progress is here when you
              come back.
            </p>`
          : nothing
      }
    </div>`;
  }

  private async delete(job: Job): Promise<void> {
    try {
      await this.app.jobs.deleteJob({ name: job.name });
      window.location.hash = '#/jobs';
    } catch (error) {
      this.app.toasts.fail(problemOf(error), 'The job was not deleted');
    }
  }
}
