// Where the cells of an RwLock lie, and who of this thread is in which. Never waits.
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import * as validate from '../validate.js';
import { CELL_SIZE, Cell } from './cell.js';
import { wordsOf } from './futex.js';
import { makesNoSense } from './nonsense.js';
import { imprint, isAnother } from './waits.js';

/** So many fit into a page of 4 KiB with the rest. */
export const READERS = 62;
const MOST_READERS = 1024;

/** 'Rwlo', and which layout. */
const MARK = 0x52776c01;

//  0  mark, readers    64  the writer's cell    128  a cell for each reader
const MARK_AT = 0;
const READERS_AT = 1;
const WRITER = 64;
const FIRST_READER = WRITER + CELL_SIZE;
const HOLDER = 0x3fffffff;

/** In the writer's cell, where it is ours: a writer is writing, or died or left while what it wrote was not right. */
const DIRTY_AT = (WRITER + 44) / 4;

export const bytesFor = (readers: number): number => FIRST_READER + readers * CELL_SIZE;

export function readersOf(value: unknown): number {
  const readers = validate.bytes('options.readers', value, 1);
  if (readers <= MOST_READERS) return readers;
  throw misuse('RANGE', `readers can be at most ${String(MOST_READERS)}; got ${String(readers)}`, {
    argument: 'options.readers',
  });
}

/** How many may read: whoever comes first says it. */
function settled(words: Int32Array, given: number | undefined, otherwise: number): number {
  const mark = Atomics.load(words, MARK_AT);
  if (mark !== 0 && mark !== MARK) throw isAnother('no RwLock', 'zeroed memory becomes one');
  const readers = imprint(words, READERS_AT, given ?? otherwise);
  if (readers !== (given ?? readers)) {
    throw isAnother(`an RwLock of ${String(readers)} readers`, 'open it as it is');
  }
  imprint(words, MARK_AT, MARK);
  if (readers >= 1 && readers <= MOST_READERS) return readers;
  throw makesNoSense('RwLock', `${String(readers)} readers`);
}

export class RwPlaces {
  readonly mapping: Mapping;
  readonly readers: number;
  readonly writer: Cell;
  readonly #offset: number;
  readonly #cells: (Cell | undefined)[];
  #words: Int32Array;
  /** The place of the last time: most often it is still free, and in this processor's cache. */
  #last = 0;

  constructor(mapping: Mapping, offset: number, given: number | undefined) {
    validate.within(offset, bytesFor(given ?? 1), mapping.length);
    this.mapping = mapping;
    this.#offset = offset;
    // Refuses what no cell can lie in, before anything is written.
    this.writer = new Cell(mapping, offset + WRITER);
    const fits = Math.trunc((mapping.length - offset - FIRST_READER) / CELL_SIZE);
    this.readers = settled(wordsOf(mapping, offset, WRITER), given, Math.min(READERS, fits));
    if (this.readers > fits) throw makesNoSense('RwLock', `${String(this.readers)} readers`);
    this.#words = wordsOf(mapping, offset, bytesFor(this.readers));
    this.#cells = Array<undefined>(this.readers).fill(undefined);
  }

  /** All of it as words. They are made again where resize() detached them. */
  get #live(): Int32Array {
    if (this.#words.length === 0) {
      this.#words = wordsOf(this.mapping, this.#offset, bytesFor(this.readers));
    }
    return this.#words;
  }

  get dirty(): boolean {
    return Atomics.load(this.#live, DIRTY_AT) !== 0;
  }

  set dirty(dirty: boolean) {
    Atomics.store(this.#live, DIRTY_AT, dirty ? 1 : 0);
  }

  /** A writer writes, or waits until it may. */
  isWanted(): boolean {
    return (Atomics.load(this.#live, WRITER / 4) & HOLDER) !== 0;
  }

  #isHeld(reader: number): boolean {
    const at = (FIRST_READER + reader * CELL_SIZE) / 4;
    return (Atomics.load(this.#live, at) & HOLDER) !== 0;
  }

  #cell(reader: number): Cell {
    return (this.#cells[reader] ??= new Cell(
      this.mapping,
      this.#offset + FIRST_READER + reader * CELL_SIZE,
    ));
  }

  /** A reader's place that is free, or whose reader is dead. */
  enter(): Cell | undefined {
    for (let tried = 0; tried < this.readers; tried++) {
      const reader = (this.#last + tried) % this.readers;
      if (this.#isHeld(reader)) continue;
      const cell = this.#cell(reader);
      if (cell.take() === 'held') continue;
      this.#last = reader;
      return cell;
    }
    return undefined;
  }

  /** Somebody who reads, from the `first` on; undefined when nobody does. */
  someReader(first: number): { readonly reader: number; readonly cell: Cell } | undefined {
    for (let reader = first; reader < this.readers; reader++) {
      if (this.#isHeld(reader)) return { reader, cell: this.#cell(reader) };
    }
    return undefined;
  }
}
