// @vitest-environment happy-dom
/** What an address of `epipar view` can show, and what it is called. */
import { describe, expect, it } from 'vitest';
import { modelsOfView } from '../../../src/app/views/view_models';

const of = (pairs: readonly (readonly [string, string])[]) =>
  modelsOfView(new URLSearchParams(pairs.map(([name, value]) => [name, value])));

describe('modelsOfView', () => {
  it('names exports and completions by their folders, in the order of the address', () => {
    const models = of([
      ['src', '/files/exports/default/tileset.json'],
      ['src', '/files/exports/small%20one/tileset.json'],
      ['src', '/files/completions/default/exports/default/tileset.json'],
      ['src', '/files/completions/chairs/exports/web/scene_full.glb'],
    ]);
    expect(models.map(({ key, title, completion }) => [key, title, completion])).toEqual([
      ['default', 'Scene', ''],
      ['small one', 'Small one', ''],
      ['default/default', 'Completed', 'default'],
      ['chairs/web', 'Completed, chairs, web', 'chairs'],
    ]);
    expect(models[3]?.facts).toMatch(/\/files\/completions\/chairs\/completion\.json$/);
    expect(models[0]?.facts).toBeUndefined();
  });

  it('gives each a surface from its own folder', () => {
    const models = of([
      ['src', '/files/exports/default/tileset.json'],
      ['src', '/files/completions/default/exports/default/tileset.json'],
      ['surface', '/files/completions/default/exports/default/surface_medium.glb'],
    ]);
    expect(models.map(({ surface }) => surface?.split('/files/')[1])).toEqual([
      undefined,
      'completions/default/exports/default/surface_medium.glb',
    ]);
  });

  it('gives a lone file a lone surface, wherever it lies', () => {
    const [model] = of([
      ['src', 'http://one/room.glb'],
      ['surface', 'http://two/mesh.glb'],
    ]);
    expect(model).toMatchObject({ title: 'room.glb', surface: 'http://two/mesh.glb' });
  });

  it('leaves out what a page may not fetch, and what it has already', () => {
    const models = of([
      ['src', 'javascript:alert(1)'],
      ['src', '/files/a.glb'],
      ['src', '/files/a.glb'],
      ['surface', 'file:///etc/passwd'],
    ]);
    expect(models).toHaveLength(1);
    expect(models[0]).not.toHaveProperty('surface');
    expect(of([])).toEqual([]);
  });
});
