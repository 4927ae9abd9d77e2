// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import { Base64 } from '../../../src/app/upload/shims/js_base64';
import Url from '../../../src/app/upload/shims/url_parse';

describe('what stands in for packages of tus-js-client', () => {
  it('encodes names in any script', () => {
    const name = 'Küche 猫.mp4';
    expect(Base64.encode(name)).toBe(Buffer.from(name, 'utf8').toString('base64'));
  });

  it.each([
    ['/uploads/a', 'http://h:1/uploads/a'],
    ['b', 'http://h:1/uploads/b'],
    ['http://other/c', 'http://other/c'],
  ])('resolves %s against the place that was asked', (link, expected) => {
    expect(new Url(link, 'http://h:1/uploads/').toString()).toBe(expected);
  });

  it('takes an endpoint that is relative to the page, as the app gives it', () => {
    const { origin } = new URL(document.baseURI);
    expect(new Url('/uploads/a', '/uploads').toString()).toBe(`${origin}/uploads/a`);
  });
});
