// The rows of the map from top to bottom: the axis, what is free, a band for each kind of owner, the two strips of heat.

import type { OwnerKind } from '../lib/cli/data.js';
import { KINDS } from './owners.js';
import type { Region } from './model.js';

export interface Row {
  top: number;
  height: number;
}

export interface Lanes {
  axis: Row;
  free: Row;
  bands: ReadonlyMap<OwnerKind, Row>;
  resident: Row;
  dirty: Row;
  height: number;
}

/** The bands of every kind that occurs at any time: they must not jump while time goes on. */
export function layOut(kinds: ReadonlySet<OwnerKind>, { narrow }: { narrow: boolean }): Lanes {
  let top = 0;
  const row = (height: number, space: number): Row => {
    const made = { top, height };
    top += height + space;
    return made;
  };
  const axis = row(24, 2);
  const free = row(26, 8);
  const bands = new Map<OwnerKind, Row>();
  for (const kind of KINDS) if (kinds.has(kind)) bands.set(kind, row(narrow ? 26 : 30, 4));
  top += 6;
  const resident = row(18, 3);
  const dirty = row(18, 0);
  return { axis, free, bands, resident, dirty, height: top + 2 };
}

export const kindsOf = (regions: Iterable<Region>): Set<OwnerKind> =>
  new Set([...regions].map(({ kind }) => kind));

const isIn = ({ top, height }: Row, y: number): boolean => y >= top - 2 && y < top + height + 2;

/** What is at a height: 'free', a band's kind, or undefined where any region may be meant. */
export function laneAt(lanes: Lanes, y: number): 'free' | OwnerKind | undefined {
  if (isIn(lanes.free, y)) return 'free';
  for (const [kind, row] of lanes.bands) if (isIn(row, y)) return kind;
  return undefined;
}
