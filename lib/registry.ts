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

interface Gap {
  readonly start: number;
  readonly end: number;
}

/** The parts of [start, end) that none of `items` covers; both ascending. */
export function uncovered(start: number, end: number, items: readonly Gap[]): Gap[] {
  const found: Gap[] = [];
  let at = start;
  for (const item of items) {
    if (item.start > at) found.push({ start: at, end: item.start });
    at = item.end;
  }
  if (at < end) found.push({ start: at, end });
  return found;
}

/** Of two lists that do not overlap, one. */
const byStart = (a: Gap, b: Gap): number => a.start - b.start;

//   reserves:  |==============================|      below the entries: they own what no entry covers
//   entries:      |mapped|       |  mapped  |
export class Registry<Owner, Item extends Entry<Owner>, Reserve extends Entry<Owner> = Item> {
  readonly #entries = new Intervals<Item>();
  readonly reserves = new Intervals<Reserve>();

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

  /** Who owns pages of [start, end): a reserve those that no entry covers. */
  ownersIn(start: number, end: number): Owner[] {
    const entries: Entry<Owner>[] = this.entriesIn(start, end);
    const vacant = this.#vacantIn(start, end);
    if (vacant.length > 0) entries.push(...vacant);
    const owners: Owner[] = [];
    for (const { owner } of entries.sort(byStart)) if (owner !== undefined) owners.push(owner);
    return owners;
  }

  /** The parts of [start, end) that no entry covers, ascending. */
  gaps(start: number, end: number): { start: number; end: number }[] {
    return uncovered(start, end, this.entriesIn(start, end));
  }

  /** The parts of [start, end) that neither an entry nor a reserve covers, ascending. */
  holes(start: number, end: number): { start: number; end: number }[] {
    const gaps = this.gaps(start, end);
    if (this.reserves.size === 0) return gaps;
    return gaps.flatMap((gap) =>
      uncovered(gap.start, gap.end, this.reserves.overlapping(gap.start, gap.end)),
    );
  }

  /** The reserves that own some page of [start, end) themselves. */
  #vacantIn(start: number, end: number): Reserve[] {
    if (this.reserves.size === 0) return [];
    return this.reserves
      .overlapping(start, end)
      .filter((each) => this.gaps(Math.max(start, each.start), Math.min(end, each.end)).length > 0);
  }

  /** True when all of [start, end) is one named reserve's own: what mostly is asked. */
  #isVacant(start: number, end: number, named: readonly Owner[]): boolean {
    if (this.reserves.size === 0 || this.touches(start, end)) return false;
    const reserve = this.reserves.at(start);
    if (reserve === undefined || end > reserve.end) return false;
    const { owner } = reserve;
    return owner !== undefined && named.includes(owner);
  }

  /**
   * The naming rule. Gives the entries in [start, end) when each page is owned and each owner is
   * among `named`; throws ERR_MEMMAP_FOREIGN, ERR_MEMMAP_OVERLAP or ERR_MEMMAP_BUSY otherwise.
   */
  mayOverwrite(start: number, end: number, named: readonly Owner[]): Item[] {
    if (this.#isVacant(start, end, named)) return [];
    const [gap] = this.holes(start, end);
    if (gap !== undefined) throw foreign(gap.start, gap.end, 'is not mapped by this thread');
    const entries = this.entriesIn(start, end);
    const owners: Entry<Owner>[] = [...entries, ...this.#vacantIn(start, end)];
    const unnamed = owners.filter(({ owner }) => owner === undefined || !named.includes(owner));
    if (unnamed.length > 0) {
      const conflicts = unnamed.flatMap(({ owner }) => (owner === undefined ? [] : [owner]));
      throw misuse(
        'OVERLAP',
        `${hex(start)}-${hex(end)} would overwrite ${String(unnamed.length)} owner(s) that were not named`,
        {
          address: BigInt(start),
          length: end - start,
          conflicts,
          hint: 'name every owner that may be overwritten: { replace: error.conflicts }',
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
