// A process over time: the regions at any moment, from the snapshots and the calls between them.

import type { Trace } from '../lib/cli/data.js';
import { lengthOf, parseRegions, regionAt, type Hole, type Region } from './model.js';
import { apply, type ReplayContext } from './replay.js';

interface State {
  /** How many events have been applied. */
  events: number;
  /** How many snapshots have been passed. */
  snapshots: number;
  regions: Region[];
  /** Their bytes. */
  mapped: number;
}

/** A copy of the state is kept so often: going back replays no more than this. */
const EVERY = 2000;

export class Timeline {
  readonly trace: Trace;
  /** The first snapshot: before it nothing is known. */
  readonly begin: number;
  readonly end: number;
  /** Bytes mapped after each event and each snapshot, as moments and amounts. */
  readonly curve: (readonly [time: number, mapped: number])[] = [];
  /** The most that was mapped at any time. */
  readonly most: number;
  readonly #snapshots: { time: number; regions: Region[] }[];
  readonly #checkpoints: State[] = [];
  #now: State;
  /** The first pass over everything draws the curve; later ones only look. */
  #isRead = false;

  constructor(trace: Trace) {
    this.trace = trace;
    this.#snapshots = trace.snapshots
      .map(({ time, regions }) => ({ time, regions: parseRegions(regions) }))
      .sort((a, b) => a.time - b.time);
    this.begin = this.#snapshots[0]?.time ?? 0;
    this.end = Math.max(
      trace.durationMs,
      trace.events.at(-1)?.time ?? 0,
      this.#snapshots.at(-1)?.time ?? 0,
    );
    this.#now = { events: 0, snapshots: 0, regions: [], mapped: 0 };
    this.#remember();
    trace.events.forEach((event, index) => {
      this.#advance(event.time, index + 1);
      if (index % EVERY === EVERY - 1) this.#remember();
    });
    this.#advance(this.end, trace.events.length);
    this.most = this.curve.reduce((most, [, mapped]) => Math.max(most, mapped), 0);
    this.#isRead = true;
  }

  /** Everything that was ever seen mapped, for an axis that holds it all. */
  everMapped(): Hole[] {
    const states = new Set(
      [...this.#snapshots, ...this.#checkpoints].flatMap(({ regions }) => regions),
    );
    const { events, pageSize } = this.trace;
    const few = events.length > 5 * EVERY ? [] : events;
    const asked = few
      .filter(({ call, result }) => call === 'mmap' && result !== null)
      .map(({ result, length }) => {
        const start = Number(result);
        return { start, end: start + Math.ceil(length / pageSize) * pageSize };
      });
    return [...states, ...asked];
  }

  /** How many events had happened at a time, itself included. */
  eventsBefore(time: number): number {
    const { events } = this.trace;
    let low = 0;
    let high = events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((events[middle]?.time ?? 0) <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The regions at a time. The list is the caller's. */
  at(time: number): Region[] {
    const target = this.eventsBefore(time);
    const behind = this.#now.events > target || this.#passed(time) < this.#now.snapshots;
    const nearest = this.#checkpoints.findLast(
      ({ events, snapshots }) => events <= target && snapshots <= this.#passed(time),
    );
    if (nearest && (behind || nearest.events > this.#now.events)) {
      this.#now = { ...nearest, regions: [...nearest.regions] };
    }
    this.#advance(time, target);
    return [...this.#now.regions];
  }

  #note(time: number): void {
    if (!this.#isRead) this.curve.push([time, this.#now.mapped]);
  }

  #passed(time: number): number {
    return this.#snapshots.filter((snapshot) => snapshot.time <= time).length;
  }

  #remember(): void {
    this.#checkpoints.push({ ...this.#now, regions: [...this.#now.regions] });
  }

  /** Applies events and snapshots in the order of their times; a snapshot is the kernel's own word. */
  #advance(time: number, target: number): void {
    const now = this.#now;
    const { events, pageSize } = this.trace;
    for (;;) {
      const event = now.events < target ? events[now.events] : undefined;
      const snapshot = this.#snapshots[now.snapshots];
      if (snapshot && snapshot.time <= time && (!event || snapshot.time <= event.time)) {
        now.regions = [...snapshot.regions];
        now.mapped = now.regions.reduce(addLength, 0);
        now.snapshots++;
        this.#note(snapshot.time);
      } else if (event) {
        const later = this.#snapshots[now.snapshots]?.regions ?? [];
        const context: ReplayContext = { pageSize, later: (address) => regionAt(later, address) };
        now.mapped += apply(now.regions, event, context);
        now.events++;
        this.#note(event.time);
      } else return;
    }
  }
}

const addLength = (total: number, region: Region): number =>
  region.start < 2 ** 63 ? total + lengthOf(region) : total;
