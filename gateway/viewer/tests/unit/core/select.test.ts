import { describe, expect, it } from 'vitest';
import { drawnSpacing } from '../../../src/core/drawn_spacing';
import { frustumFromMatrix } from '../../../src/core/frustum';
import { select } from '../../../src/core/select';
import { cube, node, type Node, viewFrom } from './trees';

const wide = { pointBudget: 1e6, targetError: 1 };

function family(): { root: Node; near: Node; far: Node } {
  const near = node({ box: cube(0, 1), error: 0, points: 100 });
  const far = node({ box: cube(9, 1), error: 0, points: 100 });
  const root = node({ box: cube(0, 10), error: 0.5, points: 100, children: [near, far] });
  return { root, near, far };
}

describe('select', () => {
  it('draws a node and its children where their points are wanted', () => {
    const { root, near, far } = family();
    const { drawn, points } = select(root, viewFrom([-1, 0, 0]), wide, []);
    expect(new Set(drawn)).toEqual(new Set([root, near, far]));
    expect(points).toBe(300);
  });

  it('spends a tight budget on the largest error, which is the nearest tile', () => {
    const { root, near } = family();
    const { drawn, points } = select(root, viewFrom([-1, 0, 0]), { ...wide, pointBudget: 250 }, []);
    expect(drawn).toEqual([root, near]);
    expect(points).toBeLessThanOrEqual(250);
  });

  it('does not refine below the wanted error', () => {
    const { root } = family();
    expect(select(root, viewFrom([-900, 0, 0]), wide, []).drawn).toEqual([root]);
  });

  it('always draws the first tile, whatever the budget', () => {
    const { root } = family();
    expect(select(root, viewFrom([-1, 0, 0]), { ...wide, pointBudget: 1 }, []).drawn).toEqual([
      root,
    ]);
  });

  it('skips what lies outside the view', () => {
    const { root, near } = family();
    // x must be below 5: of the six planes one looks that way.
    const view = viewFrom([-1, 0, 0]);
    view.frustum.set([-1, 0, 0, 5]);
    expect(select(root, view, wide, []).drawn).toEqual([root, near]);
  });

  it('wants absent tiles in the order of their error and no more than the budget holds', () => {
    const { root, near, far } = family();
    near.state = far.state = 'absent';
    const view = viewFrom([-1, 0, 0]);
    expect(select(root, view, wide, []).wanted).toEqual([near, far]);
    expect(select(root, view, { ...wide, pointBudget: 250 }, []).wanted).toEqual([near]);
  });

  it('leaves a failed tile out and goes on below it', () => {
    const { root, near, far } = family();
    const below = node({ box: cube(0, 0.5), error: 0, points: 1 });
    near.state = 'failed';
    near.children = [below];
    const { drawn, wanted } = select(root, viewFrom([-1, 0, 0]), wide, []);
    expect(new Set(drawn)).toEqual(new Set([root, far, below]));
    expect(wanted).toEqual([]);
  });

  it('lets children replace their parent only when all seen ones are here', () => {
    const a = node({ box: cube(0, 1), error: 0, points: 10 });
    const b = node({ box: cube(1, 1), error: 0, points: 10 });
    const root = node({ box: cube(0, 2), error: 1, points: 10, replaces: true, children: [a, b] });
    b.state = 'absent';
    const first = select(root, viewFrom([-1, 0, 0]), wide, []);
    expect(first.drawn).toEqual([root]);
    expect(first.wanted).toEqual([b]);
    b.state = 'ready';
    const second = select(root, viewFrom([-1, 0, 0]), wide, first.drawn);
    expect(new Set(second.drawn)).toEqual(new Set([a, b]));
  });

  it('keeps a drawn tile against an equal one, so that levels do not flicker', () => {
    const left = node({ box: cube(-2, 1), error: 0, points: 100 });
    const right = node({ box: cube(1, 1), error: 0, points: 100 });
    const root = node({ box: { low: [-2, 0, 0], high: [2, 1, 1] }, error: 0.1, points: 1, children: [left, right] }); // prettier-ignore
    const options = { ...wide, pointBudget: 150 };
    let last = select(root, viewFrom([-0.02, 0.5, 0.5]), options, []).drawn;
    expect(last).toContain(left);
    // The other is now nearer by a hair: nothing changes.
    last = select(root, viewFrom([0.02, 0.5, 0.5]), options, last).drawn;
    expect(last).toContain(left);
    last = select(root, viewFrom([0.9, 0.5, 0.5]), options, last).drawn;
    expect(last).toContain(right);
  });

  it('keeps a refinement slightly below the error that started it', () => {
    const { root } = family();
    const eye = (target: number) => viewFrom([-500 / target, 0, 0]);
    const refined = select(root, eye(1.01), wide, []);
    expect(refined.drawn.length).toBe(3);
    expect(select(root, eye(0.95), wide, refined.drawn).drawn.length).toBe(3);
    const coarse = select(root, eye(0.8), wide, refined.drawn);
    expect(coarse.drawn.length).toBe(1);
    expect(select(root, eye(0.95), wide, coarse.drawn).drawn.length).toBe(1);
  });
});

describe('drawnSpacing', () => {
  const own = ({ error }: Node): number => error || 0.01;

  it('is that of the children where all in view are drawn, else the node’s own', () => {
    const { root, near, far } = family();
    select(root, viewFrom([-1, 0, 0]), wide, []);
    expect(drawnSpacing(root, own)).toBe(0.01);
    far.state = 'absent';
    select(root, viewFrom([-1, 0, 0]), wide, [root, near, far]);
    expect(drawnSpacing(root, own)).toBe(0.5);
    expect(drawnSpacing(near, own)).toBe(0.01);
  });

  it('does not wait for children out of view', () => {
    const { root, far } = family();
    far.state = 'absent';
    const view = viewFrom([-1, 0, 0]);
    view.frustum.set([-1, 0, 0, 5]);
    select(root, view, wide, []);
    expect(drawnSpacing(root, own)).toBe(0.01);
  });
});

describe('frustumFromMatrix', () => {
  it('gives planes whose inside is the clip cube', () => {
    const planes = frustumFromMatrix([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    const inside = (x: number, y: number, z: number): boolean => {
      for (let i = 0; i < 24; i += 4)
        if (planes[i]! * x + planes[i + 1]! * y + planes[i + 2]! * z + planes[i + 3]! < 0)
          return false;
      return true;
    };
    expect(inside(0.9, -0.9, 0.9)).toBe(true);
    expect([inside(1.1, 0, 0), inside(0, -1.1, 0), inside(0, 0, 1.1)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});
