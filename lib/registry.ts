// What this thread owns of the address space, and the one rule by which it may be overwritten:
// every page owned, every owner named. Pure: knows no addon and calls no kernel. What is not here
// is unknown, never free.
import { misuse } from './errors.js';
import { Intervals } from './intervals.js';

/** One owned interval of pages. Holds a record, never the object: a dropped owner must be able to
 *  go. */
export interface Entry<Owner> {
  readonly start: number;
  readonly end: number;
  /** The live object, if somebody can still reach it. */
  readonly owner: Owner | undefined;
  /** Why it must not be unmapped or replaced now. */
  readonly busy: string | undefined;
}

/** An address for a message: `0x7f1234560000`. */
export const hex = (address: number | bigint): string => `0x${address.toString(16)}`;

export class Registry<Owner, Item extends Entry<Owner>> {
  readonly #entries = new Intervals<Item>();

  get size(): number {
    return this.#entries.size;
  }

  insert(entry: Item): void {
    this.#entries.insert(entry);
  }

  remove(entry: Item): boolean {
    return this.#entries.remove(entry);
  }

  /** True when some entry touches [start, end). */
  touches(start: number, end: number): boolean {
    return this.#entries.touches(start, end);
  }

  entryAt(address: number): Item | undefined {
    return this.#entries.at(address);
  }

  entriesIn(start: number, end: number): Item[] {
    return this.#entries.overlapping(start, end);
  }

  entries(): IterableIterator<Item> {
    return this.#entries[Symbol.iterator]();
  }

  ownersIn(start: number, end: number): Owner[] {
    const owners: Owner[] = [];
    for (const { owner } of this.entriesIn(start, end)) if (owner !== undefined) owners.push(owner);
    return owners;
  }

  /** The parts of [start, end) that no entry covers, ascending. */
  gaps(start: number, end: number): { start: number; end: number }[] {
    const found: { start: number; end: number }[] = [];
    let at = start;
    for (const entry of this.entriesIn(start, end)) {
      if (entry.start > at) found.push({ start: at, end: entry.start });
      at = entry.end;
    }
    if (at < end) found.push({ start: at, end });
    return found;
  }

  /**
   * The naming rule. Returns the entries in [start, end) when each page is owned and each owner is
   * among `named`; throws ERR_MEMMAP_FOREIGN, ERR_MEMMAP_OVERLAP or ERR_MEMMAP_BUSY otherwise.
   */
  mayOverwrite(start: number, end: number, named: readonly Owner[]): Item[] {
    const [gap] = this.gaps(start, end);
    if (gap !== undefined) throw foreign(gap.start, gap.end, 'is not mapped by this thread');
    const entries = this.entriesIn(start, end);
    const unnamed = entries.filter(({ owner }) => owner === undefined || !named.includes(owner));
    if (unnamed.length > 0) {
      const conflicts = unnamed.flatMap(({ owner }) => (owner === undefined ? [] : [owner]));
      throw misuse(
        'OVERLAP',
        `${hex(start)}-${hex(end)} would overwrite ${String(unnamed.length)} mapping(s) that were not named`,
        {
          address: BigInt(start),
          length: end - start,
          conflicts,
          hint: 'name every mapping that may be overwritten: { replace: error.conflicts }',
        },
      );
    }
    for (const { busy } of entries) if (busy !== undefined) throw inUse(busy);
    return entries;
  }
}

export const foreign = (start: number, end: number, why: string): Error =>
  misuse('FOREIGN', `${hex(start)}-${hex(end)} ${why}, so memmap does not touch it`, {
    address: BigInt(start),
    length: end - start,
    hint: 'only memory that this thread mapped through memmap may be overwritten or unmapped',
  });

export const inUse = (why: string): Error =>
  misuse('BUSY', `the mapping is in use: ${why}`, {
    hint: 'wait for the pending call, or release the pin',
  });
