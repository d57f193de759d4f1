// What the calls of a trace explain: the ranges that are mapped when all of them have been made, and
// the most that ever was. Pure.
import { roundUp } from '../page.js';
import type { TraceTable } from './trace-table.js';

/** A set of half-open ranges, in two ascending lists. */
export class RangeSet {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #size = 0;

  /** Bytes in it. */
  get size(): number {
    return this.#size;
  }

  /** The first range that ends above `address`. */
  #reach(address: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    this.remove(start, end);
    const at = this.#reach(start);
    this.#size += end - start;
    // What touches it is made one with it: a process has far more calls than it has ranges.
    const joinsBelow = at > 0 && this.#ends[at - 1] === start;
    const joinsAbove = this.#starts[at] === end;
    if (joinsBelow && joinsAbove) {
      this.#ends[at - 1] = this.#ends[at] as number;
      this.#starts.splice(at, 1);
      this.#ends.splice(at, 1);
    } else if (joinsBelow) {
      this.#ends[at - 1] = end;
    } else if (joinsAbove) {
      this.#starts[at] = start;
    } else {
      this.#starts.splice(at, 0, start);
      this.#ends.splice(at, 0, end);
    }
  }

  remove(start: number, end: number): void {
    if (end <= start) return;
    const from = this.#reach(start);
    let to = from;
    const left: [number, number][] = [];
    for (; to < this.#starts.length && (this.#starts[to] as number) < end; to++) {
      const [first, last] = [this.#starts[to] as number, this.#ends[to] as number];
      this.#size -= Math.min(last, end) - Math.max(first, start);
      if (first < start) left.push([first, start]);
      if (last > end) left.push([end, last]);
    }
    if (to === from) return;
    this.#starts.splice(from, to - from, ...left.map(([first]) => first));
    this.#ends.splice(from, to - from, ...left.map(([, last]) => last));
  }

  /** Bytes of a range that are in it. */
  within(start: number, end: number): number {
    let sum = 0;
    if (end <= start) return sum;
    for (let at = this.#reach(start); at < this.#starts.length; at++) {
      const first = this.#starts[at] as number;
      if (first >= end) break;
      sum += Math.min(end, this.#ends[at] as number) - Math.max(start, first);
    }
    return sum;
  }
}

const MREMAP_DONTUNMAP = 4;
/** What the helper maps for itself stays, and is nobody else's. */
const HELPER = '/memmap-interpose.so';

export interface Replay {
  /** What the calls leave mapped, as far as they tell. */
  readonly explained: RangeSet;
  /** The most bytes of address space that they held at once, the helper's own and its arena not counted. */
  readonly peak: number;
}

/** Makes the calls again, on paper. */
export function replay(table: TraceTable, order: Uint32Array): Replay {
  const { arena, pageSize } = table;
  const explained = new RangeSet();
  let peak = 0;
  let own = 0;
  const arenaEnd = arena.start + arena.length;
  const span = (start: number, length: number): [number, number] => [
    start,
    start + roundUp(length, pageSize),
  ];
  for (const index of order) {
    const result = table.result(index);
    if (result < 0) continue;
    const call = table.call(index);
    const [start, end] = span(table.address(index), table.length(index));
    if (call === 'mmap') {
      const isArena = result === arena.start && table.length(index) === arena.length;
      if (isArena) continue;
      explained.add(...span(result, table.length(index)));
      if (table.library(index).endsWith(HELPER)) own += roundUp(table.length(index), pageSize);
    } else if (call === 'munmap') {
      explained.remove(start, end);
    } else if (call === 'mremap') {
      if ((table.flags(index) & MREMAP_DONTUNMAP) === 0) explained.remove(start, end);
      explained.add(...span(result, table.more(index)));
    }
    peak = Math.max(peak, explained.size - own);
  }
  // What is unmapped in the arena stays reserved: the kernel goes on listing it.
  explained.add(arena.start, arenaEnd);
  return { explained, peak };
}

/** The regions of a list that the calls do not explain, or not wholly, and how many bytes of them. */
export function unexplained(
  explained: RangeSet,
  regions: readonly { start: string; end: string }[],
): { regions: number; bytes: number } {
  let count = 0;
  let bytes = 0;
  for (const { start, end } of regions) {
    const [first, last] = [Number(start), Number(end)];
    const rest = last - first - explained.within(first, last);
    if (rest === 0) continue;
    count++;
    bytes += rest;
  }
  return { regions: count, bytes };
}
