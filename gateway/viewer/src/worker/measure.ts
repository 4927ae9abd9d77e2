/** What the viewer wants to know of a cloud: how dense it is, and where most of it lies. */
import { type Box, boxMoved, type Mat4 } from '../core/math';

const SAMPLES = 32;
const NEIGHBOUR = 6;
/** Part of the points that the bulk leaves out at each end of an axis. */
const TAIL = 0.02;
const BIN_BITS = 6;
const BINS = 65536 >> BIN_BITS;

/**
 * Return the width of the square that each point of a surface has to itself, in grid steps.
 *
 * Taken from the median distance of sampled points to their sixth neighbours: unlike that to the
 * first, it is nearly the same for random, square and hexagonal points of one density.
 */
export function spacingOf(positions: Uint16Array, count: number): number {
  const distances: number[] = [];
  const samples = Math.min(SAMPLES, count);
  for (let i = 0; i < samples; i++) {
    const row = Math.floor(((i + 0.5) * count) / samples);
    const square = squareOfNeighbour(positions, count, row);
    if (square < Infinity) distances.push(Math.sqrt(square));
  }
  distances.sort((a, b) => a - b);
  return (distances[distances.length >> 1] ?? 1) / Math.sqrt(NEIGHBOUR / Math.PI);
}

/** Return the squared distance of one point to its sixth neighbour; Infinity if there is none. */
function squareOfNeighbour(positions: Uint16Array, count: number, row: number): number {
  const x = positions[row * 4]!;
  const y = positions[row * 4 + 1]!;
  const z = positions[row * 4 + 2]!;
  const nearest = new Array<number>(NEIGHBOUR).fill(Infinity);
  let worst = Infinity;
  for (let at = 0; at < count * 4; at += 4) {
    const dx = positions[at]! - x;
    const dy = positions[at + 1]! - y;
    const dz = positions[at + 2]! - z;
    const square = dx * dx + dy * dy + dz * dz;
    if (square >= worst || square === 0) continue;
    let place = NEIGHBOUR - 1;
    for (; place > 0 && nearest[place - 1]! > square; place--) nearest[place] = nearest[place - 1]!;
    nearest[place] = square;
    worst = nearest[NEIGHBOUR - 1]!;
  }
  return worst;
}

/**
 * Return the box of all points, and that of the middle ones on each axis, so that a few far ones do
 * not count; both moved by the matrix.
 */
export function boxesOf(
  positions: Uint16Array,
  count: number,
  matrix: Mat4,
): { box: Box; bulk: Box } {
  const all = { low: [0, 0, 0], high: [0, 0, 0] };
  const middle = { low: [0, 0, 0], high: [0, 0, 0] };
  for (let axis = 0; axis < 3; axis++) {
    const histogram = new Uint32Array(BINS);
    let low = 65535;
    let high = 0;
    for (let at = axis; at < count * 4; at += 4) {
      const value = positions[at]!;
      histogram[value >> BIN_BITS]!++;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const [first, last] = middleBins(histogram, count);
    all.low[axis] = low;
    all.high[axis] = high;
    middle.low[axis] = Math.max(low, first << BIN_BITS);
    middle.high[axis] = Math.min(high, (last + 1) << BIN_BITS);
  }
  return {
    box: boxMoved(matrix, all as unknown as Box),
    bulk: boxMoved(matrix, middle as unknown as Box),
  };
}

function middleBins(histogram: Uint32Array, count: number): [number, number] {
  let first = -1;
  let last = 0;
  let seen = 0;
  for (let bin = 0; bin < BINS; bin++) {
    if (histogram[bin] === 0) continue;
    seen += histogram[bin]!;
    if (first < 0 && seen > count * TAIL) first = bin;
    last = bin;
    if (seen >= count * (1 - TAIL)) break;
  }
  return [Math.max(first, 0), last];
}
