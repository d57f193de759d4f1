// Where an address is drawn. A scale takes addresses to [0, 1] and back; zooming happens there.
//
//   true scale   0 ------------------------------------------------- 1     an address is its share of the whole
//   folded       0 --exe-|gap|--heap--|gap|-----libraries-----|gap|- 1     gaps are narrow, regions all visible

import { isUserSpace, type Hole } from './model.js';

export interface Scale {
  readonly mode: 'folded' | 'linear';
  toUnit(address: number): number;
  toAddress(unit: number): number;
  /** The least share of the whole that one byte has anywhere: how far one can zoom in. */
  readonly leastDensity: number;
}

export function linearScale(top: number): Scale {
  return {
    mode: 'linear',
    toUnit: (address) => Math.min(1, address / top),
    toAddress: (unit) => unit * top,
    leastDensity: 1 / top,
  };
}

/** The pieces of a folded axis: where one begins, and whether it is mapped by anybody at any time. */
interface Piece extends Hole {
  mapped: boolean;
}

/** Cuts the addresses at every border; what lies between is a region or a gap. */
function cut(ranges: readonly Hole[]): Piece[] {
  const borders = new Map<number, number>();
  const count = (at: number, by: number) => borders.set(at, (borders.get(at) ?? 0) + by);
  for (const { start, end } of ranges) {
    if (end <= start) continue;
    count(start, 1);
    count(end, -1);
  }
  const sorted = [...borders].sort(([a], [b]) => a - b);
  const pieces: Piece[] = [];
  let depth = 0;
  sorted.forEach(([start, change], index) => {
    depth += change;
    const next = sorted[index + 1];
    if (next) pieces.push({ start, end: next[0], mapped: depth > 0 });
  });
  return pieces;
}

/** A region of a thousand times the size is some five times as wide. */
const widthOf = (length: number, pageSize: number): number =>
  Math.max(1, length / pageSize) ** 0.25;

/** All gaps together take at most this share: what is mapped is what one came for. */
const GAP_SHARE = 0.25;

/**
 * The folded scale over ranges, and the address space around them: before the first and after the last is a gap, too.
 */
export function foldedScale(
  ranges: readonly Hole[],
  { pageSize, top }: { pageSize: number; top: number },
): Scale {
  const pieces = cut(ranges);
  const first = pieces[0]?.start ?? top;
  const last = pieces.findLast((piece) => isUserSpace(piece))?.end ?? 0;
  if (first > 0) pieces.unshift({ start: 0, end: first, mapped: false });
  if (last < top && last > 0 && pieces.at(-1)?.end === last) {
    pieces.push({ start: last, end: top, mapped: false });
  }
  const raw = pieces.map((piece) => widthOf(piece.end - piece.start, pageSize));
  const sum = (mapped: boolean) =>
    pieces.reduce((total, piece, at) => total + (piece.mapped === mapped ? (raw[at] ?? 0) : 0), 0);
  const [used, gaps] = [sum(true), sum(false)];
  const shrink = used === 0 ? 1 : Math.min(1, (used * GAP_SHARE) / (1 - GAP_SHARE) / gaps);
  const widths = raw.map((width, at) => (pieces[at]?.mapped ? width : width * shrink));
  const total = widths.reduce((all, width) => all + width, 0);

  const starts = new Float64Array(pieces.length + 1);
  const units = new Float64Array(pieces.length + 1);
  let leastDensity = 1;
  pieces.forEach(({ start, end, mapped }, at) => {
    const width = (widths[at] ?? 0) / total;
    starts[at] = start;
    starts[at + 1] = end;
    units[at + 1] = (units[at] ?? 0) + width;
    if (mapped) leastDensity = Math.min(leastDensity, width / (end - start));
  });
  return {
    mode: 'folded',
    toUnit: (address) => interpolate(address, starts, units),
    toAddress: (unit) => interpolate(unit, units, starts),
    leastDensity,
  };
}

/** The piecewise linear function through the points (from[i], to[i]); flat outside. */
function interpolate(x: number, from: Float64Array, to: Float64Array): number {
  let low = 0;
  let high = from.length - 1;
  if (high <= 0) return 0;
  if (x <= (from[0] as number)) return to[0] as number;
  if (x >= (from[high] as number)) return to[high] as number;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((from[middle] as number) <= x) low = middle;
    else high = middle;
  }
  const [a, b] = [from[low] as number, from[high] as number];
  const [c, d] = [to[low] as number, to[high] as number];
  return b === a ? c : c + ((x - a) / (b - a)) * (d - c);
}
