// A sorted list of pairs of numbers, with the largest second number of every 64 blocks side by side.
// Pure data structure: allocates nothing per call but when it grows. A search leaves a cursor, and
// what follows (`key`, `value`, `change`, `remove`) works there.
//
//   groups:   |  24      |                    the largest value in 64 blocks
//   largest:  |  8   24   5  |                ... in each block, by rank
//   blocks:   |  2   0    1  |                which block of `keys` and `values`, ascending by key
//   firsts:   |  10  40   70 |                its first key, and in `seconds` the value with it
//   keys:     | 40 50 . . | 70 80 90 . | 10 20 30 . |     a block each BLOCK places
//
// Blocks that get emptier are not merged: their number stays what the longest list needed.

const BLOCK = 64;
const GROUP_BITS = 6;
const GROUP = 1 << GROUP_BITS;

function larger<Numbers extends Float64Array | Int32Array>(old: Numbers, made: Numbers): Numbers {
  made.set(old);
  return made;
}

function largestOf(numbers: Float64Array, start: number, end: number): number {
  let most = 0;
  for (let i = start; i < end; i++) {
    const number = numbers[i] as number;
    if (number > most) most = number;
  }
  return most;
}

/** Pairs ascend by key, and by value where the keys are the same. No pair is in it twice. */
export class Pairs {
  #size = 0;
  #rank = -1;
  #place = -1;
  #length = 0;
  #blocks = new Int32Array(GROUP);
  #firsts = new Float64Array(GROUP);
  #seconds = new Float64Array(GROUP);
  #largest = new Float64Array(GROUP);
  #groups = new Float64Array(1);
  #made = 0;
  #counts = new Int32Array(GROUP);
  #keys = new Float64Array(GROUP * BLOCK);
  #values = new Float64Array(GROUP * BLOCK);
  readonly #unused: number[] = [];

  get size(): number {
    return this.#size;
  }

  /** The largest value there is, or 0. */
  get most(): number {
    return largestOf(this.#groups, 0, this.#groups.length);
  }

  /** The first number of the pair at the cursor. */
  get key(): number {
    return this.#keys[this.#place] as number;
  }

  /** The second. */
  get value(): number {
    return this.#values[this.#place] as number;
  }

  /** Puts the cursor before the first pair: `ascend` and `next` go on from there. */
  toBottom(): void {
    this.#rank = -1;
    this.#place = -1;
  }

  /** Puts the cursor behind the last pair: `descend` goes on from there. */
  toTop(): void {
    this.#rank = this.#length;
    this.#place = -1;
  }

  /** Goes to the last pair at or below (key, value); false, and before the first, where there is none. */
  floor(key: number, value: number): boolean {
    const rank = this.#rankOf(key, value);
    if (rank < 0) {
      this.toBottom();
      return false;
    }
    this.#rank = rank;
    this.#place = this.#placeIn(this.#blocks[rank] as number, key, value);
    return true;
  }

  /** Goes to the pair behind the cursor. */
  next(): boolean {
    if (this.#rank >= 0) {
      const block = this.#blocks[this.#rank] as number;
      if (this.#place + 1 < this.#endOf(block)) {
        this.#place++;
        return true;
      }
    }
    if (this.#rank + 1 >= this.#length) return false;
    this.#place = (this.#blocks[++this.#rank] as number) * BLOCK;
    return true;
  }

  /** Goes to the next pair behind the cursor whose value is `least` or more. */
  ascend(least: number): boolean {
    let rank = this.#rank;
    if (rank >= 0 && (this.#largest[rank] as number) >= least) {
      const end = this.#endOf(this.#blocks[rank] as number);
      if (this.#upwards(this.#place + 1, end, least)) return true;
    }
    const largest = this.#largest;
    const groups = this.#groups;
    const length = this.#length;
    for (rank++; rank < length; rank++) {
      if (rank % GROUP === 0 && (groups[rank >>> GROUP_BITS] as number) < least) {
        rank += GROUP - 1;
      } else if ((largest[rank] as number) >= least) {
        this.#rank = rank;
        const block = this.#blocks[rank] as number;
        return this.#upwards(block * BLOCK, this.#endOf(block), least);
      }
    }
    return false;
  }

  /** Goes to the next pair before the cursor whose value is `least` or more. */
  descend(least: number): boolean {
    let rank = this.#rank;
    if (rank < this.#length && (this.#largest[rank] as number) >= least) {
      const block = this.#blocks[rank] as number;
      if (this.#downwards(this.#place - 1, block * BLOCK, least)) return true;
    }
    const largest = this.#largest;
    const groups = this.#groups;
    for (rank--; rank >= 0; rank--) {
      if (rank % GROUP === GROUP - 1 && (groups[rank >>> GROUP_BITS] as number) < least) {
        rank -= GROUP - 1;
      } else if ((largest[rank] as number) >= least) {
        this.#rank = rank;
        const block = this.#blocks[rank] as number;
        return this.#downwards(this.#endOf(block) - 1, block * BLOCK, least);
      }
    }
    return false;
  }

  /** Adds a pair that is not there yet. The cursor is lost. */
  insert(key: number, value: number): void {
    let rank = Math.max(0, this.#rankOf(key, value));
    if (this.#length === 0) this.#addBlock(0);
    let block = this.#blocks[rank] as number;
    if (this.#counts[block] === BLOCK) {
      this.#halve(rank);
      if (!this.#isAbove(rank + 1, key, value)) rank++;
      block = this.#blocks[rank] as number;
    }
    const place = this.#placeIn(block, key, value) + 1;
    const keys = this.#keys;
    const values = this.#values;
    for (let i = this.#endOf(block); i > place; i--) {
      keys[i] = keys[i - 1] as number;
      values[i] = values[i - 1] as number;
    }
    keys[place] = key;
    values[place] = value;
    (this.#counts[block] as number)++;
    this.#size++;
    if (place === block * BLOCK) this.#setFirst(rank, place);
    this.#raise(rank, value);
  }

  /** Removes the pair at the cursor. The cursor is lost. */
  remove(): void {
    const rank = this.#rank;
    const block = this.#blocks[rank] as number;
    const keys = this.#keys;
    const values = this.#values;
    const was = values[this.#place] as number;
    const last = this.#endOf(block) - 1;
    for (let i = this.#place; i < last; i++) {
      keys[i] = keys[i + 1] as number;
      values[i] = values[i + 1] as number;
    }
    this.#size--;
    if (--(this.#counts[block] as number) === 0) {
      this.#dropBlock(rank);
      return;
    }
    if (this.#place === block * BLOCK) this.#setFirst(rank, this.#place);
    this.#lower(rank, was);
  }

  /** Removes a pair that is there. The cursor is lost. */
  removeAt(key: number, value: number): void {
    this.floor(key, value);
    this.remove();
  }

  /** Changes the pair at the cursor into one that belongs at the same place. */
  change(key: number, value: number): void {
    const rank = this.#rank;
    const place = this.#place;
    const was = this.#values[place] as number;
    this.#keys[place] = key;
    this.#values[place] = value;
    if (place % BLOCK === 0) this.#setFirst(rank, place);
    if (value >= was) this.#raise(rank, value);
    else this.#lower(rank, was);
  }

  #endOf(block: number): number {
    return block * BLOCK + (this.#counts[block] as number);
  }

  #setFirst(rank: number, place: number): void {
    this.#firsts[rank] = this.#keys[place] as number;
    this.#seconds[rank] = this.#values[place] as number;
  }

  #upwards(from: number, end: number, least: number): boolean {
    const values = this.#values;
    for (let place = from; place < end; place++) {
      if ((values[place] as number) < least) continue;
      this.#place = place;
      return true;
    }
    return false;
  }

  #downwards(from: number, first: number, least: number): boolean {
    const values = this.#values;
    for (let place = from; place >= first; place--) {
      if ((values[place] as number) < least) continue;
      this.#place = place;
      return true;
    }
    return false;
  }

  /** A value came to the block of that rank. */
  #raise(rank: number, value: number): void {
    if (value <= (this.#largest[rank] as number)) return;
    this.#largest[rank] = value;
    const group = rank >>> GROUP_BITS;
    if (value > (this.#groups[group] as number)) this.#groups[group] = value;
  }

  /** A value went, or got smaller. */
  #lower(rank: number, was: number): void {
    if (was !== this.#largest[rank]) return;
    const block = this.#blocks[rank] as number;
    this.#largest[rank] = largestOf(this.#values, block * BLOCK, this.#endOf(block));
    const group = rank >>> GROUP_BITS;
    if (was === this.#groups[group]) this.#measureGroup(group);
  }

  #measureGroup(group: number): void {
    const end = Math.min(this.#length, (group + 1) * GROUP);
    this.#groups[group] = largestOf(this.#largest, group * GROUP, end);
  }

  #isAbove(rank: number, key: number, value: number): boolean {
    const first = this.#firsts[rank] as number;
    return first > key || (first === key && (this.#seconds[rank] as number) > value);
  }

  /** The last block that begins at or below the pair, or -1. */
  #rankOf(key: number, value: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isAbove(middle, key, value)) high = middle;
      else low = middle + 1;
    }
    return low - 1;
  }

  /** The last place of a block at or below the pair, or the place before the block. */
  #placeIn(block: number, key: number, value: number): number {
    const keys = this.#keys;
    const values = this.#values;
    let low = block * BLOCK;
    let high = this.#endOf(block);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = keys[middle] as number;
      if (found < key || (found === key && (values[middle] as number) <= value)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Makes room for a block of that rank, and gives the block. */
  #addBlock(rank: number): number {
    const length = this.#length++;
    if (length === this.#blocks.length) this.#growRanks();
    this.#blocks.copyWithin(rank + 1, rank, length);
    this.#firsts.copyWithin(rank + 1, rank, length);
    this.#seconds.copyWithin(rank + 1, rank, length);
    this.#largest.copyWithin(rank + 1, rank, length);
    const block = this.#unused.pop() ?? this.#made++;
    if (block === this.#counts.length) this.#growBlocks();
    this.#blocks[rank] = block;
    this.#counts[block] = 0;
    this.#largest[rank] = 0;
    return block;
  }

  #dropBlock(rank: number): void {
    this.#unused.push(this.#blocks[rank] as number);
    const length = this.#length--;
    this.#blocks.copyWithin(rank, rank + 1, length);
    this.#firsts.copyWithin(rank, rank + 1, length);
    this.#seconds.copyWithin(rank, rank + 1, length);
    this.#largest.copyWithin(rank, rank + 1, length);
    this.#measureFrom(rank);
  }

  #halve(rank: number): void {
    const upper = this.#addBlock(rank + 1);
    const block = this.#blocks[rank] as number;
    const middle = block * BLOCK + BLOCK / 2;
    const base = upper * BLOCK;
    this.#keys.copyWithin(base, middle, middle + BLOCK / 2);
    this.#values.copyWithin(base, middle, middle + BLOCK / 2);
    this.#counts[block] = BLOCK / 2;
    this.#counts[upper] = BLOCK / 2;
    this.#setFirst(rank + 1, base);
    this.#largest[rank] = largestOf(this.#values, block * BLOCK, middle);
    this.#largest[rank + 1] = largestOf(this.#values, base, base + BLOCK / 2);
    this.#measureFrom(rank);
  }

  /** Ranks from this one on have moved. */
  #measureFrom(rank: number): void {
    const last = Math.min(this.#groups.length - 1, this.#length >>> GROUP_BITS);
    for (let group = rank >>> GROUP_BITS; group <= last; group++) this.#measureGroup(group);
  }

  #growRanks(): void {
    const twice = 2 * this.#blocks.length;
    this.#blocks = larger(this.#blocks, new Int32Array(twice));
    this.#firsts = larger(this.#firsts, new Float64Array(twice));
    this.#seconds = larger(this.#seconds, new Float64Array(twice));
    this.#largest = larger(this.#largest, new Float64Array(twice));
    this.#groups = larger(this.#groups, new Float64Array(twice / GROUP));
  }

  #growBlocks(): void {
    const twice = 2 * this.#counts.length;
    this.#counts = larger(this.#counts, new Int32Array(twice));
    this.#keys = larger(this.#keys, new Float64Array(twice * BLOCK));
    this.#values = larger(this.#values, new Float64Array(twice * BLOCK));
  }
}
