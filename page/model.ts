// Regions as the page computes with them: addresses are numbers, exact because they are multiples of a page.

import type { OwnerKind, RegionJson } from '../lib/cli/data.js';
import { hex } from './format.js';

export interface Region {
  start: number;
  end: number;
  protection: string;
  shared: boolean;
  path: string | undefined;
  offset: number;
  kind: OwnerKind;
  label: string;
  certain: boolean;
  resident: number | undefined;
  dirty: number | undefined;
  swapped: number | undefined;
  hugePages: number | undefined;
}

/** Addresses that nobody has mapped. */
export interface Hole {
  start: number;
  end: number;
}

export const lengthOf = ({ start, end }: Hole): number => end - start;

/** Above this half of the addresses is the kernel's: programs cannot map anything there. */
const KERNEL_HALF = 2 ** 63;
export const isUserSpace = ({ start }: Hole): boolean => start < KERNEL_HALF;

function parseRegion(json: RegionJson): Region {
  const { protection, shared, path, offset, owner, resident, dirty, swapped, hugePages } = json;
  return {
    start: Number(json.start),
    end: Number(json.end),
    protection,
    shared,
    path,
    offset,
    kind: owner.kind,
    label: owner.label,
    certain: owner.certain,
    resident,
    dirty,
    swapped,
    hugePages,
  };
}

/** Snapshots have most of their regions in common: those are one object, here as well. Nobody changes them. */
const parsed = new WeakMap<RegionJson, Region>();

function regionOf(json: RegionJson): Region {
  const known = parsed.get(json);
  if (known) return known;
  const region = parseRegion(json);
  parsed.set(json, region);
  return region;
}

export const parseRegions = (regions: readonly RegionJson[]): Region[] =>
  regions.map(regionOf).sort((a, b) => a.start - b.start);

/** The end of what a program can map: 128 TiB on most machines, 256 TiB on many arm64 ones. */
export function topOf(regions: readonly Region[]): number {
  const last = regions.findLast(isUserSpace)?.end ?? 0;
  let top = 2 ** 47;
  while (top < last) top *= 2;
  return top;
}

/** What nobody has mapped between the regions, from the first address to the last that a program can map. */
export function holesOf(regions: readonly Region[], top: number): Hole[] {
  const holes: Hole[] = [];
  let at = 0;
  for (const region of regions) {
    if (!isUserSpace(region)) break;
    if (region.start > at) holes.push({ start: at, end: region.start });
    at = Math.max(at, region.end);
  }
  if (at < top) holes.push({ start: at, end: top });
  return holes;
}

export const largest = (holes: readonly Hole[]): Hole | undefined =>
  holes.reduce<Hole | undefined>(
    (best, hole) => (best === undefined || lengthOf(hole) > lengthOf(best) ? hole : best),
    undefined,
  );

/** The index of the last one that starts at or below the address, -1 where there is none. */
export function indexBelow(sorted: readonly Hole[], address: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as Hole).start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function regionAt<T extends Hole>(sorted: readonly T[], address: number): T | undefined {
  const found = sorted[indexBelow(sorted, address)];
  return found !== undefined && address < found.end ? found : undefined;
}

export interface Totals {
  regions: number;
  mapped: number;
  /** Undefined where it is known of no region. */
  resident: number | undefined;
  dirty: number | undefined;
  swapped: number | undefined;
  /** Some region's are not known: the sums are at least so much. */
  partial: boolean;
  inaccessible: number;
}

const plus = (sum: number | undefined, more: number | undefined): number | undefined =>
  more === undefined ? sum : (sum ?? 0) + more;

export function totalsOf(regions: Iterable<Region>): Totals {
  const none = { resident: undefined, dirty: undefined, swapped: undefined };
  const totals: Totals = { regions: 0, mapped: 0, ...none, partial: false, inaccessible: 0 };
  for (const region of regions) {
    totals.regions++;
    totals.mapped += lengthOf(region);
    totals.resident = plus(totals.resident, region.resident);
    totals.dirty = plus(totals.dirty, region.dirty);
    totals.swapped = plus(totals.swapped, region.swapped);
    totals.partial ||= region.resident === undefined;
    if (region.protection === '---') totals.inaccessible += lengthOf(region);
  }
  return totals;
}

export function byKind(regions: readonly Region[]): Map<OwnerKind, Totals> {
  const groups = new Map<OwnerKind, Region[]>();
  for (const region of regions) {
    const group = groups.get(region.kind);
    if (group) group.push(region);
    else groups.set(region.kind, [region]);
  }
  return new Map([...groups].map(([kind, group]) => [kind, totalsOf(group)]));
}

export const rangeText = ({ start, end }: Hole): string => `${hex(start)} – ${hex(end)}`;
