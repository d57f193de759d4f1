// Where each of many ranges lies on an axis, computed once for as long as neither changes.

import { indexBelow, type Hole } from './model.js';
import type { Scale } from './scale.js';
import type { Viewport } from './viewport.js';

interface Units {
  scale: Scale;
  from: Float64Array;
  to: Float64Array;
}

const known = new WeakMap<readonly Hole[], Units>();

function unitsOf(sorted: readonly Hole[], scale: Scale): Units {
  const found = known.get(sorted);
  if (found?.scale === scale) return found;
  const made = {
    scale,
    from: Float64Array.from(sorted, ({ start }) => scale.toUnit(start)),
    to: Float64Array.from(sorted, ({ end }) => scale.toUnit(end)),
  };
  known.set(sorted, made);
  return made;
}

/** The pixels from which and to which something is drawn, cut at the edges: no number is too large for the canvas. */
export type Visit<T> = (one: T, left: number, right: number) => void;

/** Calls `visit` for each range of a sorted list that is at least partly in view. */
export function visitInView<T extends Hole>(
  sorted: readonly T[],
  viewport: Viewport,
  visit: Visit<T>,
): void {
  const { from, to } = unitsOf(sorted, viewport.scale);
  const { start, end } = viewport.addresses;
  const first = Math.max(0, indexBelow(sorted, start));
  const last = indexBelow(sorted, end);
  const { width } = viewport;
  for (let at = first; at <= last; at++) {
    const left = viewport.toX(from[at] as number);
    const right = viewport.toX(to[at] as number);
    if (right < 0 || left > width) continue;
    visit(sorted[at] as T, Math.max(-4, left), Math.min(width + 4, right));
  }
}
