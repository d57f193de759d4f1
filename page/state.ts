// What the page shows, in one place. Whoever changes it says so, and what depends on it is drawn again, once a frame.

import type { OwnerKind, PageData } from '../lib/cli/data.js';
import { layOut, type Lanes } from './lanes.js';
import {
  byKind,
  holesOf,
  largest,
  parseRegions,
  topOf,
  totalsOf,
  type Hole,
  type Region,
  type Totals,
} from './model.js';
import type { Colouring } from './paint.js';
import { foldedScale, linearScale, type Scale } from './scale.js';
import { Timeline } from './timeline.js';

/** What is drawn at one moment, and what follows from it. */
export interface Moment {
  regions: readonly Region[];
  holes: readonly Hole[];
  largest: Hole | undefined;
  totals: Totals;
  kinds: ReadonlyMap<OwnerKind, Totals>;
}

export class PageState {
  readonly data: PageData;
  readonly timeline: Timeline | undefined;
  readonly top: number;
  readonly scales: Readonly<Record<Scale['mode'], Scale>>;
  /** Every kind that occurs at any time. */
  readonly everyKind: ReadonlySet<OwnerKind>;
  readonly hidden = new Set<OwnerKind>();
  colouring: Colouring = 'owner';
  time: number;
  moment: Moment;
  /** By its address: in another moment another region may be there. */
  #selected: { address: number } | undefined;
  hovered: Region | Hole | undefined;

  constructor(data: PageData) {
    this.data = data;
    this.timeline =
      data.trace && data.trace.snapshots.length > 0 ? new Timeline(data.trace) : undefined;
    this.time = this.timeline?.end ?? 0;
    const now = this.timeline?.at(this.time) ?? parseRegions(data.regions);
    const ever = this.timeline?.everMapped() ?? now;
    this.top = topOf([...now].sort((a, b) => a.start - b.start));
    const { pageSize } = data;
    this.scales = {
      folded: foldedScale(ever, { pageSize, top: this.top }),
      linear: linearScale(this.top),
    };
    this.everyKind = new Set([
      ...now.map(({ kind }) => kind),
      ...(data.trace?.snapshots ?? []).flatMap(({ regions }) =>
        regions.map(({ owner }) => owner.kind),
      ),
      ...(this.timeline ? (['file', 'anonymous'] as const) : []),
    ]);
    this.moment = this.#momentOf(now);
  }

  #momentOf(regions: readonly Region[]): Moment {
    const holes = holesOf(regions, this.top);
    return {
      regions,
      holes,
      largest: largest(holes),
      totals: totalsOf(regions),
      kinds: byKind(regions),
    };
  }

  lanes(narrow: boolean): Lanes {
    return layOut(this.everyKind, { narrow });
  }

  goTo(time: number): void {
    if (this.timeline === undefined) return;
    this.time = Math.min(this.timeline.end, Math.max(this.timeline.begin, time));
    this.moment = this.#momentOf(this.timeline.at(this.time));
    this.hovered = undefined;
  }

  /** The region at an address, or the hole there. */
  at(address: number): Region | Hole | undefined {
    const { regions, holes } = this.moment;
    const holds = ({ start, end }: Hole) => start <= address && address < end;
    return regions.find(holds) ?? holes.find(holds);
  }

  get selected(): Region | Hole | undefined {
    return this.#selected && this.at(this.#selected.address);
  }

  select(what: Hole | undefined): void {
    this.#selected = what && { address: what.start };
  }

  /** The regions of the bands that are shown. */
  get visible(): Region[] {
    return this.moment.regions.filter(({ kind }) => !this.hidden.has(kind));
  }
}

export const isRegion = (what: Region | Hole): what is Region => 'kind' in what;
