// A sorted list of intervals that never overlap. Pure data structure: knows neither mappings nor
// pages. Chunks keep an insertion among 100,000 as cheap as among 1,000.
//
//   chunks:  [ [a b c] [d e] [f g h i] ]     each chunk sorted, all chunks sorted

const MOST_IN_CHUNK = 128;

export interface Interval {
  readonly start: number;
  readonly end: number;
}

export class Intervals<Item extends Interval> {
  readonly #chunks: Item[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The item whose interval holds `point`. */
  at(point: number): Item | undefined {
    const chunk = this.#chunks[this.#chunkOf(point)];
    if (chunk === undefined) return undefined;
    const item = chunk[positionOf(chunk, point)];
    return item !== undefined && point < item.end ? item : undefined;
  }

  /** True when some item touches [start, end). */
  touches(start: number, end: number): boolean {
    const chunkIndex = this.#chunkOf(start);
    const chunk = this.#chunks[Math.max(0, chunkIndex)];
    if (chunk === undefined) return false;
    const index = positionOf(chunk, start);
    if ((chunk[index]?.end ?? -Infinity) > start) return true;
    const next = chunk[index + 1] ?? this.#chunks[chunkIndex + 1]?.[0];
    return next !== undefined && next.start < end;
  }

  /** Every item that touches [start, end), ascending. */
  overlapping(start: number, end: number): Item[] {
    const found: Item[] = [];
    let chunkIndex = Math.max(0, this.#chunkOf(start));
    let index = Math.max(0, positionOf(this.#chunks[chunkIndex] ?? [], start));
    for (; chunkIndex < this.#chunks.length; chunkIndex++, index = 0) {
      const chunk = this.#chunks[chunkIndex] ?? [];
      for (; index < chunk.length; index++) {
        const item = chunk[index];
        if (item === undefined || item.start >= end) return found;
        if (item.end > start) found.push(item);
      }
    }
    return found;
  }

  /** `item` must touch no other. */
  insert(item: Item): void {
    const chunkIndex = Math.max(0, this.#chunkOf(item.start));
    const chunk = this.#chunks[chunkIndex];
    this.#size++;
    if (chunk === undefined) {
      this.#chunks.push([item]);
      return;
    }
    const index = positionOf(chunk, item.start) + 1;
    chunk.push(item);
    for (let i = chunk.length - 1; i > index; i--) chunk[i] = chunk[i - 1] as Item;
    chunk[index] = item;
    if (chunk.length > MOST_IN_CHUNK) {
      this.#chunks.splice(chunkIndex + 1, 0, chunk.splice(MOST_IN_CHUNK / 2));
    }
  }

  /** False when this very item is not in the list. */
  remove(item: Item): boolean {
    const chunkIndex = this.#chunkOf(item.start);
    const chunk = this.#chunks[chunkIndex];
    if (chunk === undefined) return false;
    const index = positionOf(chunk, item.start);
    if (chunk[index] !== item) return false;
    for (let i = index; i < chunk.length - 1; i++) chunk[i] = chunk[i + 1] as Item;
    chunk.length--;
    this.#size--;
    // The last chunk stays, so that mapping and unmapping one thing in a loop makes no arrays.
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(chunkIndex, 1);
    return true;
  }

  *[Symbol.iterator](): IterableIterator<Item> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The last chunk that starts at or below `point`, or -1. */
  #chunkOf(point: number): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.[0]?.start ?? Infinity) <= point) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** The last item that starts at or below `point`, or -1. */
function positionOf(chunk: readonly Interval[], point: number): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((chunk[middle]?.start ?? Infinity) <= point) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
