// @vitest-environment happy-dom
/** Addresses lead to views, and what is none leads nowhere. */
import { describe, expect, it } from 'vitest';
import { parseHash, replaceParams, viewableUrl } from '../../../src/app/router';
import { paramsOf, readSettings, VIEW_DEFAULTS } from '../../../src/app/views/view_settings';

describe('parseHash', () => {
  it.each([
    ['', 'scenes'],
    ['#/', 'scenes'],
    ['#/scenes', 'scenes'],
    ['#/scenes/kitchen-abc123', 'scene'],
    ['#/scenes/kitchen/', 'scene'],
    ['#/jobs', 'jobs'],
    ['#/jobs?state=failed', 'jobs'],
    ['#/jobs/abcdef234567', 'job'],
    ['#/view?src=/files/x/tileset.json', 'view'],
    ['#/elsewhere', 'missing'],
    ['#/scenes/kitchen/more', 'missing'],
    ['#/scenes/..%2Fetc', 'missing'],
    ['#/scenes/<script>', 'missing'],
  ])('reads %s as the view %s', (hash, view) => {
    expect(parseHash(hash).view).toBe(view);
  });

  it('keeps an address with its own query whole', () => {
    const src = 'http://host/tileset.json?v=1&x=2';
    expect(parseHash(`#/view?src=${encodeURIComponent(src)}`).params.get('src')).toBe(src);
  });
});

describe('viewableUrl', () => {
  it('takes addresses that a page may fetch', () => {
    expect(viewableUrl('/files/a.glb', 'http://host/')).toBe('http://host/files/a.glb');
    expect(viewableUrl('tiles/tileset.json', 'http://host/')).toBe(
      'http://host/tiles/tileset.json',
    );
  });

  it.each([null, '', 'javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'http://'])(
    'refuses %s',
    (src) => {
      expect(viewableUrl(src, 'http://host/')).toBeNull();
    },
  );
});

describe('the settings of a view', () => {
  it('survive the address', () => {
    const settings = {
      color: 'confidence',
      cameras: true,
      edl: false,
      pointSize: 2.5,
      minConfidence: 0.4,
      budget: 500_000,
      renderer: 'webgpu',
      surface: 'both',
      lit: true,
    } as const;
    window.location.hash = '#/scenes/kitchen';
    replaceParams(paramsOf(settings));
    expect(readSettings(parseHash(window.location.hash).params)).toEqual(settings);
  });

  it('leave an address as it was where they are the defaults', () => {
    window.location.hash = '#/scenes/kitchen';
    replaceParams(paramsOf(VIEW_DEFAULTS));
    expect(window.location.hash).toBe('#/scenes/kitchen');
  });

  it('are the defaults where the address holds nonsense', () => {
    expect(
      readSettings(
        new URLSearchParams('size=99&min=-1&budget=abc&color=blue&renderer=x&as=y&lit=2'),
      ),
    ).toEqual(VIEW_DEFAULTS);
  });
});
