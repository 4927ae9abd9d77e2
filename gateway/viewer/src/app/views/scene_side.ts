/** The side panel's templates: what a scene is, and what can be had of it. */
import { html, nothing, type TemplateResult } from 'lit';
import { Job_State, type Job } from '../../gen/epipar/scene/v1/job_service_pb';
import type { Scene } from '../../gen/epipar/scene/v1/scene_service_pb';
import { bytes, compact, count, duration, millis, percent, plural, sentence } from '../format';
import { kindWords, stageWords } from '../jobs/job_state';
import { hrefOf } from '../router';
import { icon } from '../ui/icons';
import { jobChip, when } from '../ui/pieces';
import { downloadsOf, fileUrl, type ExportFacts, type SceneFacts } from './files';
import type { Model } from './scene_models';

type Rows = readonly (readonly [string, string])[];

const factList = (rows: Rows): TemplateResult =>
  html`<dl class="facts-list small">
    ${rows.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd class="numbers">${value}</dd>
        </div>`,
    )}
  </dl>`;

const CONFIDENCE_WORDS: Readonly<Record<string, string>> = {
  PROBABILITY_5PCT: 'Chance of less than 5 % error',
  SCORE: 'A score that only ranks',
};

/** Frames, points, sizes, how it was made and how long that took. */
export function factsSection(
  scene: Scene,
  facts: SceneFacts | undefined,
  exported: ExportFacts | undefined,
): TemplateResult {
  const missing = facts?.unregistered ?? [];
  const timings = Object.entries(facts?.timings ?? {});
  const rows = [...frameRows(scene, facts), ...exportRows(exported), ...qualityRows(facts)];
  if (rows.length === 0) return html``;
  return html`<section>
    <h2>Facts</h2>
    ${factList(rows)}
    ${
      missing.length > 0
        ? html`<details class="small">
            <summary>${plural(missing.length, 'frame')} found no place</summary>
            <p class="muted">${missing.map(String).join(', ')}</p>
          </details>`
        : nothing
    }
    ${
      timings.length > 0
        ? html`<details class="small">
            <summary>Time spent, ${duration(timings.reduce((sum, [, s]) => sum + s, 0))}</summary>
            ${factList(timings.map(([stage, seconds]) => [stageWords(stage), duration(seconds)]))}
          </details>`
        : nothing
    }
  </section>`;
}

function frameRows(scene: Scene, facts: SceneFacts | undefined): Rows {
  const selected = facts?.counts?.selected_frames;
  const frames = scene.registeredFrames;
  return [
    ...(frames > 0
      ? [
          [
            'Frames',
            selected !== undefined && selected !== frames
              ? `${count(frames)} of ${count(selected)}`
              : count(frames),
          ] as const,
        ]
      : []),
    ...(facts?.source?.name
      ? [
          [
            'Source',
            facts.source.size_bytes
              ? `${facts.source.name}, ${bytes(facts.source.size_bytes)}`
              : facts.source.name,
          ] as const,
        ]
      : []),
    ...(facts?.engine?.name
      ? [['Depth engine', `${facts.engine.name} ${facts.engine.version ?? ''}`] as const]
      : []),
  ];
}

function exportRows(exported: ExportFacts | undefined): Rows {
  const full = exported?.levels?.at(-1)?.points;
  const { min = [], max = [] } = exported?.grid?.bounding_box ?? {};
  const size = max.map((value, axis) => value - (min[axis] ?? 0));
  const { codec, position_bits: bits } = exported?.options ?? {};
  return [
    ...(full === undefined ? [] : [['Points', compact(full)] as const]),
    ...(size.length === 3
      ? [['Extent', size.map((side) => side.toFixed(1)).join(' × ')] as const]
      : []),
    ...(codec ? [['Compression', bits ? `${codec}, ${bits} bits` : codec] as const] : []),
  ];
}

function qualityRows(facts: SceneFacts | undefined): Rows {
  const coverage = facts?.metrics?.coverage;
  const error = facts?.metrics?.reprojection_error_px;
  return [
    ...(facts?.scale
      ? [['Scale', facts.scale === 'metric' ? 'Metres' : 'Arbitrary units'] as const]
      : []),
    ...(coverage === undefined ? [] : [['Pixels with depth', percent(coverage)] as const]),
    ...(error === undefined ? [] : [['Reprojection error', `${error.toFixed(2)} px`] as const]),
    ...(facts?.confidence_kind
      ? [
          [
            'Confidence',
            CONFIDENCE_WORDS[facts.confidence_kind] ?? sentence(facts.confidence_kind),
          ] as const,
        ]
      : []),
  ];
}

/** The files of what is shown, with the scene's cameras. */
export function downloadsSection(
  scene: Scene,
  model: Model,
  exported: ExportFacts | undefined,
): TemplateResult {
  const cameras = model.completion
    ? (scene.completions.find(({ name }) => name === model.completion)?.artifacts ?? [])
    : scene.artifacts;
  const downloads = downloadsOf([...model.export.artifacts, ...cameras], exported);
  return html`<section>
    <h2>Downloads</h2>
    <ul class="downloads">
      ${downloads.map(
        ({ file, title, facts }) =>
          html`<li>
            <a href=${fileUrl(file)} download=${file.name}>
              ${icon('download', 18)}
              <span>${title}<span class="small muted numbers">${facts}</span></span>
            </a>
          </li>`,
      )}
    </ul>
  </section>`;
}

/** Jobs that have ended, newest first; those that run have panels of their own. */
export function jobsSection(jobs: readonly Job[]): TemplateResult | typeof nothing {
  if (jobs.length === 0) return nothing;
  return html`<section>
    <h2>Jobs</h2>
    <ul class="side-jobs">
      ${jobs.map(
        (job) =>
          html`<li>
            <a href=${hrefOf(job.name)}>${kindWords(job.kind)}</a>
            <span class="small muted">${when(millis(job.createTime))}</span>
            ${jobChip(job.state)}
          </li>`,
      )}
    </ul>
  </section>`;
}

export const isFailed = (job: Job | undefined): boolean => job?.state === Job_State.FAILED;
