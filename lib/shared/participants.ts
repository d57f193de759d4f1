// Who takes part: a table of cells, one for each handle, that the kernel marks when a thread dies.
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import { CELL_SIZE, Cell } from './cell.js';

/** Words of a cell: its lock, how often it was taken, and two that are free for us. */
const LOCK = 0;
const GENERATION = 10;
const ROLES = 11;
const PROCESS = 12;
const WORDS = CELL_SIZE / 4;

const DIED = 0x40000000;
const HOLDER = 0x3fffffff;

/** A tag is a slot and, above it, the low bits of the generation: whoever has the slot next has another tag. */
const SLOT_BITS = 7;
const MOST_SLOTS = 2 ** SLOT_BITS;
const GENERATIONS = 2 ** 21 - 1;

/** What a participant has done; for statistics only. */
export const ROLE = { sends: 1, receives: 2 } as const;

export interface ParticipantsPlace {
  readonly mapping: Mapping;
  /** Of the table, in the mapping: a multiple of 8. */
  readonly offset: number;
  /** At most 128. */
  readonly count: number;
  /** The table itself: 16 words each. */
  readonly words: Int32Array;
}

/** A place in the table, for the life of a handle. Belongs to the thread that made it. */
export class Participants {
  /** Who we are to the others. */
  readonly tag: number;
  readonly #words: Int32Array;
  readonly #count: number;
  readonly #cell: Cell;

  /** Takes a place that is free, or whose owner is dead. ERR_MEMMAP_NO_ROOM when there is none. */
  constructor({ mapping, offset, count, words }: ParticipantsPlace) {
    this.#words = words;
    this.#count = Math.min(count, MOST_SLOTS);
    for (let slot = 0; slot < this.#count; slot++) {
      if (this.#isHeld(slot)) continue;
      const cell = new Cell(mapping, offset + slot * CELL_SIZE);
      if (cell.take() === 'held') continue;
      Atomics.store(words, slot * WORDS + ROLES, 0);
      Atomics.store(words, slot * WORDS + PROCESS, process.pid);
      this.#cell = cell;
      this.tag = (this.#generation(slot) << SLOT_BITS) | slot;
      return;
    }
    throw misuse('NO_ROOM', `all ${String(this.#count)} places for handles are taken`, {
      hint: 'detach() those that are not needed',
    });
  }

  /** Whether the thread that has this tag lives. One that is being born counts as its predecessor for an instant. */
  isAlive(tag: number): boolean {
    const slot = tag & (MOST_SLOTS - 1);
    return slot < this.#count && this.#isHeld(slot) && this.#generation(slot) === tag >>> SLOT_BITS;
  }

  /** The process of a participant, as it said itself. */
  processOf(tag: number): number {
    return Atomics.load(this.#words, (tag & (MOST_SLOTS - 1)) * WORDS + PROCESS);
  }

  /** Notes what we do. */
  play(role: number): void {
    Atomics.or(this.#words, (this.tag & (MOST_SLOTS - 1)) * WORDS + ROLES, role);
  }

  /** How many live participants have all of these roles. */
  living(roles: number): number {
    let count = 0;
    for (let slot = 0; slot < this.#count; slot++) {
      const played = Atomics.load(this.#words, slot * WORDS + ROLES);
      if (this.#isHeld(slot) && (played & roles) === roles) count++;
    }
    return count;
  }

  /** Gives the place back: to the others we are dead. */
  leave(): void {
    if (this.#cell.heldHere) this.#cell.leave();
  }

  #isHeld(slot: number): boolean {
    const word = Atomics.load(this.#words, slot * WORDS + LOCK);
    return (word & HOLDER) !== 0 && (word & DIED) === 0;
  }

  #generation(slot: number): number {
    return Atomics.load(this.#words, slot * WORDS + GENERATION) & GENERATIONS;
  }
}
