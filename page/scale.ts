// Where an address is drawn. A scale takes addresses to [0, 1] and back; zooming happens there.
//
//   true scale   0 ------------------------------------------------- 1     an address is its share of the whole
//   folded       0 --exe-|gap|--heap--|gap|-----libraries-----|gap|- 1     gaps are narrow, regions all visible

import type { Hole } from './model.js';

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

/** Cuts the addresses at every border, from 0 on and at `top`; what lies between is a region or a gap. */
function cut(ranges: readonly Hole[], top: number): Piece[] {
  const borders = new Map<number, number>([
    [0, 0],
    [top, 0],
  ]);
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

/** A region of a thousand times the size is ten times as wide. */
const regionWidth = (pages: number): number => Math.max(1, pages) ** 0.33;

/** A gap of a thousand times the size is a little wider. */
const gapWidth = (pages: number): number => 1 + Math.log2(Math.max(1, pages));

/** All gaps together take at most this share, and the largest of them this one: there must be room for its size. */
const GAP_SHARE = 0.22;
const LARGEST_SHARE = 0.1;

/** How wide each piece is, in a unit of its own. What no program can map takes next to nothing. */
function widthsOf(pieces: readonly Piece[], pageSize: number, top: number): number[] {
  const pages = ({ start, end }: Piece) => (end - start) / pageSize;
  const isHole = ({ mapped, start }: Piece) => !mapped && start < top;
  let [used, gaps, best] = [0, 0, 0];
  for (const piece of pieces) {
    if (piece.mapped) used += regionWidth(pages(piece));
    if (!isHole(piece)) continue;
    gaps += gapWidth(pages(piece));
    best = Math.max(best, pages(piece));
  }
  const shrink = Math.min(1, ((used || 1) * GAP_SHARE) / gaps);
  return pieces.map((piece) => {
    if (piece.mapped) return regionWidth(pages(piece));
    if (!isHole(piece)) return shrink;
    const width = gapWidth(pages(piece)) * shrink;
    return pages(piece) === best ? Math.max(width, used * LARGEST_SHARE) : width;
  });
}

/** The folded scale over ranges, and the whole address space around them. */
export function foldedScale(
  ranges: readonly Hole[],
  { pageSize, top }: { pageSize: number; top: number },
): Scale {
  const pieces = cut(ranges, top);
  const widths = widthsOf(pieces, pageSize, top);
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
