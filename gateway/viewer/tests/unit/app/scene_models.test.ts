// @vitest-environment happy-dom
/** What can be shown of a scene, what it is called, and what a removal asks for. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { fillRequest, removeRequest } from '../../../src/app/views/scene_fill';
import { completionOf, isRemoval, modelsOf } from '../../../src/app/views/scene_models';
import { provenanceLegend } from '../../../src/app/views/stage_foot';
import { Intent } from '../../../src/gen/epipar/inpaint/v1/inpaint_service_pb';
import {
  JobSchema,
  StartCompletionRequestSchema,
} from '../../../src/gen/epipar/scene/v1/job_service_pb';
import { SceneSchema, type Scene } from '../../../src/gen/epipar/scene/v1/scene_service_pb';
import { render } from 'lit';

const tiles = (root: string) => ({
  name: 'default',
  artifacts: [{ name: 'tileset.json', uri: `${root}/exports/default/tileset.json` }],
});

/** Completions as the gateway lists them: by name, not by age. */
const scene = (...completions: readonly (readonly [string, number])[]): Scene =>
  create(SceneSchema, {
    name: 'scenes/s',
    exports: [tiles('scenes/s')],
    completions: completions.map(([name, at]) => ({
      name,
      createTime: timestampFromMs(at),
      exports: [tiles(`scenes/s/completions/${name}`)],
    })),
  });

describe('modelsOf', () => {
  it('counts removals by their age, whatever their names', () => {
    const models = modelsOf(scene(['default', 2000], ['removed-aa', 3000], ['removed-bb', 1000]));
    expect(models.map(({ title, key }) => [title, key])).toEqual([
      ['Scene', 'default'],
      ['Removed', 'removed-bb/default'],
      ['Filled', 'default/default'],
      ['Removed 2', 'removed-aa/default'],
    ]);
  });
});

describe('completionOf', () => {
  const all = scene(['a-first', 1000], ['b-newest', 3000], ['c-last', 2000]);

  it('is the one whose files the job has made', () => {
    const artifacts = [{ uri: 'scenes/s/completions/c-last/completion.json' }];
    expect(completionOf(create(JobSchema, { artifacts }), all)).toBe('c-last');
  });

  it('is the newest where the job does not tell', () => {
    expect(completionOf(create(JobSchema), all)).toBe('b-newest');
    expect(completionOf(create(JobSchema), scene())).toBeUndefined();
  });
});

describe('requests', () => {
  it('for a removal carry the box, the intent and a name of their own', () => {
    const region = { min: [-1, 0, 1], max: [1, 2, 3] } as const;
    const [one, other] = [removeRequest('scenes/s', region), removeRequest('scenes/s', region)].map(
      (init) => create(StartCompletionRequestSchema, init),
    );
    expect(one).toMatchObject({ scene: 'scenes/s', intent: Intent.REMOVE });
    const shape = one?.masks?.regions[0]?.shape;
    expect(shape?.case === 'box' && [shape.value.min, shape.value.max]).toMatchObject([
      { x: -1, y: 0, z: 1 },
      { x: 1, y: 2, z: 3 },
    ]);
    expect(one?.completionName).toMatch(/^[a-z0-9_-]{1,64}$/);
    expect(isRemoval(one?.completionName ?? '')).toBe(true);
    expect(one?.completionName).not.toBe(other?.completionName);
    expect(one?.requestId).not.toBe(other?.requestId);
  });

  it('for filling put back what is missing', () => {
    expect(fillRequest('scenes/s')).toMatchObject({
      completionName: 'default',
      intent: Intent.COMPLETE,
    });
  });
});

describe('provenanceLegend', () => {
  const rows = (...given: Parameters<typeof provenanceLegend>): string[] => {
    const into = document.createElement('div');
    render(provenanceLegend(...given), into);
    return [...into.querySelectorAll('li')].map((row) =>
      row.textContent.replace(/\s+/g, ' ').trim(),
    );
  };

  it('names the kinds that occur, with their shares of what was filled', () => {
    const counts = { reprojected: 850, plane: 149, free: 1, painted: 0, diffusion: 0 };
    expect(rows(counts, false)).toEqual([
      'Seen by the camera',
      'From another view 85 %',
      'Surface continued 14 %',
      'Shape guessed < 1 %',
    ]);
  });

  it('names all kinds where nothing is known, and none where nothing was filled', () => {
    expect(rows(undefined, false)).toHaveLength(6);
    expect(rows(undefined, true)).toEqual(['Seen by the camera']);
  });
});
