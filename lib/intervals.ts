// A sorted list of intervals that never overlap. Pure data structure: knows neither mappings nor
// pages. Blocks keep an insertion among 100,000 as cheap as among 1,000. A search reads numbers that
// lie side by side, not items: among 100,000 each visit to an item would be a cache miss.
//
//   blocks:  [ 2       0     1     ]     which block of `starts` and `items`, ascending by start
//   firsts:  [ 10      40    70    ]     the first start of each of them
//   starts:  | 40 50 . . | 70 80 90 . | 10 20 30 . |     one array, a block each BLOCK places

const BLOCK = 64;

export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** The start of an item must not change while it is in the list. */
export class Intervals<Item extends Interval> {
  readonly #firsts: number[] = [];
  readonly #blocks: number[] = [];
  readonly #counts: number[] = [];
  readonly #free: number[] = [];
  #starts = new Float64Array(BLOCK);
  readonly #items: (Item | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The item whose interval holds `point`. */
  at(point: number): Item | undefined {
    const rank = this.#rankOf(point);
    if (rank < 0) return undefined;
    const item = this.#items[this.#placeOf(this.#blocks[rank] as number, point)];
    return item !== undefined && point < item.end ? item : undefined;
  }

  /** Every item that touches [start, end), ascending. */
  overlapping(start: number, end: number): Item[] {
    const found: Item[] = [];
    const first = Math.max(0, this.#rankOf(start));
    for (let rank = first; rank < this.#blocks.length; rank++) {
      const block = this.#blocks[rank] as number;
      const from =
        rank === first ? Math.max(block * BLOCK, this.#placeOf(block, start)) : block * BLOCK;
      for (let place = from; place < block * BLOCK + this.#count(block); place++) {
        const item = this.#items[place] as Item;
        if (item.start >= end) return found;
        if (item.end > start) found.push(item);
      }
    }
    return found;
  }

  /** True when some item touches [start, end). */
  touches(start: number, end: number): boolean {
    const rank = Math.max(0, this.#rankOf(start));
    const block = this.#blocks[rank];
    if (block === undefined) return false;
    const place = this.#placeOf(block, start);
    const below = place < block * BLOCK ? undefined : this.#items[place];
    if (below !== undefined && below.end > start) return true;
    const inBlock = place + 1 < block * BLOCK + this.#count(block);
    const next = inBlock ? this.#starts[place + 1] : this.#firsts[rank + 1];
    return next !== undefined && next < end;
  }

  /** `item` must touch no other. */
  insert(item: Item): void {
    const { start } = item;
    const { rank, block } = this.#blockFor(start);
    const place = this.#placeOf(block, start) + 1;
    const end = block * BLOCK + this.#count(block);
    const starts = this.#starts;
    const items = this.#items;
    for (let i = end; i > place; i--) {
      starts[i] = starts[i - 1] as number;
      items[i] = items[i - 1];
    }
    starts[place] = start;
    items[place] = item;
    if (place === block * BLOCK) this.#firsts[rank] = start;
    this.#counts[block] = end + 1 - block * BLOCK;
    this.#size++;
  }

  /** False when this very item is not in the list. */
  remove(item: Item): boolean {
    const rank = this.#rankOf(item.start);
    if (rank < 0) return false;
    const block = this.#blocks[rank] as number;
    const place = this.#placeOf(block, item.start);
    const starts = this.#starts;
    const items = this.#items;
    if (items[place] !== item) return false;
    const base = block * BLOCK;
    const last = base + this.#count(block) - 1;
    for (let i = place; i < last; i++) {
      starts[i] = starts[i + 1] as number;
      items[i] = items[i + 1];
    }
    items[last] = undefined;
    this.#counts[block] = last - base;
    this.#size--;
    if (last === base) this.#dropBlock(rank, block);
    else if (place === base) this.#firsts[rank] = starts[base] as number;
    return true;
  }

  *[Symbol.iterator](): IterableIterator<Item> {
    for (const block of this.#blocks) {
      const base = block * BLOCK;
      for (let i = 0; i < this.#count(block); i++) yield this.#items[base + i] as Item;
    }
  }

  #count(block: number): number {
    return this.#counts[block] as number;
  }

  /** The block that `start` belongs into, with room for it. */
  #blockFor(start: number): { rank: number; block: number } {
    if (this.#blocks.length === 0) this.#addBlock(0, start);
    let rank = Math.max(0, this.#rankOf(start));
    const block = this.#blocks[rank] as number;
    if (this.#count(block) < BLOCK) return { rank, block };
    this.#halve(rank, block);
    if ((this.#firsts[rank + 1] as number) <= start) rank++;
    return { rank, block: this.#blocks[rank] as number };
  }

  #addBlock(rank: number, first: number): number {
    const block = this.#free.pop() ?? this.#counts.length;
    if (block === this.#counts.length) this.#grow();
    this.#firsts.splice(rank, 0, first);
    this.#blocks.splice(rank, 0, block);
    return block;
  }

  #grow(): void {
    this.#counts.push(0);
    for (let i = 0; i < BLOCK; i++) this.#items.push(undefined);
    if (this.#items.length <= this.#starts.length) return;
    const larger = new Float64Array(2 * this.#starts.length);
    larger.set(this.#starts);
    this.#starts = larger;
  }

  #halve(rank: number, block: number): void {
    const middle = block * BLOCK + BLOCK / 2;
    const upper = this.#addBlock(rank + 1, this.#starts[middle] as number);
    const base = upper * BLOCK;
    for (let i = 0; i < BLOCK / 2; i++) {
      this.#starts[base + i] = this.#starts[middle + i] as number;
      this.#items[base + i] = this.#items[middle + i];
      this.#items[middle + i] = undefined;
    }
    this.#counts[block] = BLOCK / 2;
    this.#counts[upper] = BLOCK / 2;
  }

  #dropBlock(rank: number, block: number): void {
    if (this.#blocks.length === 1) {
      // Stays, so that mapping and unmapping one thing in a loop makes no blocks; nothing is in it.
      this.#firsts[0] = Infinity;
      return;
    }
    this.#free.push(block);
    this.#firsts.splice(rank, 1);
    this.#blocks.splice(rank, 1);
  }

  /** The last block that starts at or below `point`, or -1. */
  #rankOf(point: number): number {
    const firsts = this.#firsts;
    let low = 0;
    let high = firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((firsts[middle] as number) <= point) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The last place of a block at or below `point`, or the place before the block. */
  #placeOf(block: number, point: number): number {
    const starts = this.#starts;
    let low = block * BLOCK;
    let high = low + this.#count(block);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] as number) <= point) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
