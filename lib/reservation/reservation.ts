// reserve() and the Reservation class: a range of addresses that is ours, and what is placed in it.
import { pageSize } from '../binding.js';
import { misuse } from '../errors.js';
import { inside } from '../inside.js';
import type { Mapping } from '../mapping.js';
import { named, victimsIn } from '../owned.js';
import type { ReplaceOption } from '../owned.js';
import { type Piece, placeOne, placeTogether, readPieces } from './place.js';
import { registry } from '../record.js';
import type { Reserve } from './reserve.js';
import { type ReserveOptions, reservePlan } from './reserve-options.js';
import { makeReserve, releaseReserve, vacateReserve } from './reserving.js';
import { type Source, parseSource } from '../source.js';
import * as validate from '../validate.js';
import { makeSpan } from '../views.js';

/** A part of a reservation: one mapping, or vacant pages. */
export interface Segment {
  /** First byte, in the reservation; a multiple of the page size. */
  readonly offset: number;
  /** Bytes; whole pages. */
  readonly length: number;
  /** What is placed there; `undefined` where nothing is. */
  readonly mapping: Mapping | undefined;
}

const key = Symbol('memmap');

/**
 * A range of addresses that is owned and inaccessible, for things to be placed in. Made by `reserve`.
 * What leaves it leaves inaccessible pages behind, never a hole that somebody else's mapping could
 * slip into. It keeps what is placed in it; a Reservation that nobody can reach is released.
 *
 * @example
 * ```js
 * const r = memmap.reserve(8 * memmap.pageSize);
 * r.place(0, { anonymous: memmap.pageSize });
 * r.place(memmap.pageSize, { file: process.execPath, length: memmap.pageSize });
 * r.view(0, 2 * memmap.pageSize).subarray(memmap.pageSize + 1, memmap.pageSize + 4).toString(); // 'ELF' on Linux
 * r.release();
 * ```
 */
export class Reservation {
  readonly #reserve: Reserve;
  /** What lies in it stays for as long as somebody can reach either. */
  readonly #placed = new Set<Mapping>();

  static {
    inside.reserveOf = (value) => (#reserve in value ? value.#reserve : undefined);
    inside.placedIn = (value) => (#placed in value ? value.#placed : undefined);
  }

  /** @internal Reservations are made by `reserve`, not by `new`. */
  constructor(secret: symbol, record: Reserve) {
    if (secret !== key) throw misuse('ARGUMENT', 'a Reservation is made by reserve(), not by new');
    this.#reserve = record;
  }

  /** Address of the first byte that something can be placed at. */
  get address(): bigint {
    return BigInt(anyOf(this).inner.start);
  }

  /** Bytes: what was asked for, rounded up to pages. */
  get length(): number {
    const { inner } = anyOf(this);
    return inner.end - inner.start;
  }

  /** 'released' once it was given back. */
  get state(): 'reserved' | 'released' {
    return anyOf(this).state;
  }

  /**
   * Puts a part of a file or of shared memory, or zeroed memory, over vacant pages at `offset`, and gives its Mapping. A
   * file's byte must lie as far into a page as its place does; memory starts at a page. What lies there
   * already must be named, as for MAP_FIXED: `{ replace: mapping }`. It is staged and then moved, so
   * that what cannot be mapped leaves everything as it was. Buffers of `view` over replaced pages
   * stay, and show what is new.
   *
   * Errors: ERR_MEMMAP_OVERLAP with `conflicts`, ERR_MEMMAP_RANGE outside of the reservation or of the
   * file, ERR_MEMMAP_BUSY for what is pinned, the system's own with `path`. Source: mmap(2), mremap(2).
   */
  place(offset: number | bigint, source: Source, options?: ReplaceOption): Mapping {
    const at = validate.bytes('offset', offset);
    const parsed = parseSource(source);
    const names = named(options);
    return placeOne(
      () => liveOf(this),
      { offset: at, source: parsed },
      (span) => victimsIn(span, [this, ...names]),
    );
  }

  /**
   * Places several things, all of them or none: each is prepared elsewhere before the first is moved.
   * Only over vacant pages, and not over one another.
   */
  placeAll(pieces: readonly Piece[]): Mapping[] {
    const read = readPieces(pieces);
    return placeTogether(
      () => liveOf(this),
      read,
      (span) => victimsIn(span, [this]),
    );
  }

  /**
   * Gives pages back to the reservation: what was placed there is unmapped, wholly or in part (its
   * `parts` have the rest), and its Buffers have length 0. Pages that native code may still be reading
   * show zeros for a while before they become inaccessible. Vacant pages stay vacant. What native
   * code has not finished with (`pin` says so) could meet what is placed there next; where an
   * ArrayBuffer was transferred, placing there is ERR_MEMMAP_BUSY until that is gone.
   */
  vacate(offset: number | bigint, length: number | bigint): void {
    const from = validate.bytes('offset', offset);
    const size = validate.bytes('length', length);
    const { inner } = liveOf(this);
    validate.withinReservation({ offset: from, length: size }, inner.end - inner.start);
    if (size === 0) return;
    const start = inner.start + from;
    vacateReserve(wholePagesOf(start, start + size));
  }

  /**
   * Bytes of it as one Buffer, zero copy, whatever mappings they lie in; all of them must be readable
   * now. It is about addresses: it shows what is placed there later, and is detached (length 0) when a
   * page below it is vacated, unmapped or can no longer be read.
   */
  view(offset: number | bigint, length: number | bigint): Buffer {
    const from = validate.bytes('offset', offset);
    const size = validate.bytes('length', length);
    const { inner } = liveOf(this);
    validate.withinReservation({ offset: from, length: size }, inner.end - inner.start);
    return makeSpan(this, inner, { offset: from, length: size });
  }

  /** What is where: segments that tile the reservation, ascending. */
  layout(): Segment[] {
    const { inner, state } = anyOf(this);
    if (state === 'released') return [];
    const segments: Segment[] = [];
    const add = (start: number, end: number, mapping: Mapping | undefined): void => {
      if (start < end) segments.push({ offset: start - inner.start, length: end - start, mapping });
    };
    let at = inner.start;
    for (const { start, end, owner } of registry.entriesIn(inner.start, inner.end)) {
      add(at, start, undefined);
      add(start, end, owner);
      at = end;
    }
    add(at, inner.end, undefined);
    return segments;
  }

  /**
   * Unmaps everything that is placed in it and gives the range back. Every Buffer over it has length
   * 0 from here on. Doing it again does nothing; ERR_MEMMAP_BUSY while something in it is pinned.
   */
  release(): void {
    releaseReserve(anyOf(this));
  }

  /** `release`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    releaseReserve(anyOf(this));
  }
}

function anyOf(receiver: unknown): Reserve {
  const is = typeof receiver === 'object' && receiver !== null;
  const reserve = is ? inside.reserveOf(receiver) : undefined;
  if (reserve === undefined) throw validate.wrongKind('this', 'a Reservation', receiver);
  return reserve;
}

function liveOf(receiver: unknown): Reserve {
  const reserve = anyOf(receiver);
  if (reserve.state === 'reserved') return reserve;
  throw misuse('UNMAPPED', 'the reservation was released', { address: BigInt(reserve.start) });
}

/**
 * The pages of some bytes that are to go. A page at the edge goes with them when nobody has bytes in
 * the rest of it.
 */
function wholePagesOf(start: number, end: number): { start: number; end: number } {
  const first = start - (start % pageSize);
  const last = end + ((pageSize - (end % pageSize)) % pageSize);
  for (const record of registry.entriesIn(first, last)) {
    const from = record.address;
    const to = from + record.length;
    const cutBelow = first < start && from < start && to > first;
    const cutAbove = last > end && to > end && from < last;
    if (!cutBelow && !cutAbove) continue;
    throw misuse(
      'RANGE',
      'the range to vacate must end at a page boundary or at the end of a mapping',
      {
        address: BigInt(from),
        length: record.length,
        hint: `pages are ${String(pageSize)} bytes here`,
      },
    );
  }
  return { start: first, end: last };
}

/**
 * Reserves a range of addresses: owned, inaccessible, and costing no memory. `length` in bytes, rounded
 * up to pages; `options` say how it is aligned, where it lies and how many guard pages enclose it.
 *
 * Errors: ENOMEM when the address space or its limit (RLIMIT_AS) has no room; EEXIST with
 * `placement: 'exclusive'`; ERR_MEMMAP_RANGE for an alignment that is no power of two.
 * Source: mmap(2), PROT_NONE and MAP_NORESERVE.
 *
 * @example
 * ```js
 * const r = memmap.reserve(2 ** 30, { alignment: 2 ** 21, guardPages: 1 });
 * r.address % (2n ** 21n); // 0n
 * r.release();
 * ```
 */
export function reserve(length: number | bigint, options?: ReserveOptions): Reservation {
  return makeReserve(reservePlan(length, options), (record) => new Reservation(key, record));
}
