// The Semaphore class: permits that are cells, so that the kernel gives back those of the dead, and a bell for who waits.
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import { CELL_SIZE, Cell } from './cell.js';
import { type Spot, rouse, wordsOf } from './futex.js';
import type { LockAsyncOptions, LockOptions } from './mutex.js';
import { makesNoSense } from './nonsense.js';
import {
  type Quest,
  imprint,
  inWhole,
  inWholeLater,
  isAnother,
  laterOf,
  patienceOf,
  recordOf,
  waitFor,
  waitLater,
} from './waits.js';

/** Where a Semaphore lies, and how large it is. */
export interface SemaphorePlace {
  /** Bytes in the mapping; the address must be a multiple of 8. Default 0. */
  offset?: number;
  /** How many may have one at once, from 1 to 1024. Needed where there is none yet. */
  permits?: number;
}

/** One of the permits, until `release` or the end of a `using` block. */
export interface Permit {
  /** Which one, from 0: nobody else has the same at the same time. */
  readonly index: number;
  /** The one who had it before died with it: what it was doing may be half done. */
  readonly ownerDied: boolean;
  /** Gives it back. */
  release(): void;
  /** Gives it back, unless that was done already. */
  [Symbol.dispose](): void;
}

const MOST = 1024;
const PLACE = ['offset', 'permits'] as const;

/** 'Sema', and which layout. */
const MARK = 0x53656d01;

//  0  mark, permits, bell    64  a cell for each permit
const MARK_AT = 0;
const PERMITS_AT = 1;
const BELL_AT = 2;
const HEAD = 64;
const STEP = CELL_SIZE / 4;
const HOLDER = 0x3fffffff;

/** In the bell: somebody sleeps. The count of permits given back is above. */
const SLEEPERS = 1;

const bytesOf = (permits: number): number => HEAD + permits * CELL_SIZE;

function permitsOf(value: unknown): number {
  const permits = validate.bytes('options.permits', value, 1);
  if (permits <= MOST) return permits;
  throw misuse('RANGE', `permits can be at most ${String(MOST)}; got ${String(permits)}`, {
    argument: 'options.permits',
  });
}

/** How many permits there are: whoever comes first says it. */
function settled(words: Int32Array, given: number | undefined): number {
  const mark = Atomics.load(words, MARK_AT);
  if (mark !== 0 && mark !== MARK) throw isAnother('no semaphore', 'zeroed memory becomes one');
  if (given === undefined && mark === 0) {
    throw misuse('ARGUMENT', 'there is no semaphore at this offset yet', {
      argument: 'options.permits',
      hint: 'pass { permits } to create it',
    });
  }
  const permits =
    given === undefined ? Atomics.load(words, PERMITS_AT) : imprint(words, PERMITS_AT, given);
  if (permits !== (given ?? permits)) {
    throw isAnother(`a semaphore of ${String(permits)} permits`, 'open it as it is');
  }
  imprint(words, MARK_AT, MARK);
  if (permits >= 1 && permits <= MOST) return permits;
  throw makesNoSense('Semaphore', `${String(permits)} permits`);
}

/**
 * So many permits in shared memory, between processes and threads: whoever has one may go on, the others wait. A permit is given back by
 * whoever has it, or by the kernel when its thread ends, however it ends: the next one gets it with `ownerDied: true`. None is ever
 * lost or given twice. To signal something there are `notify` and Channel: nobody can give a permit that he does not have.
 *
 * Who waits is not told of a death: it looks again every 250 ms.
 *
 * @example
 * ```js
 * const memory = memmap.mapAnonymous(4096, { shared: true });
 * const semaphore = new memmap.Semaphore(memory, { permits: 3 });
 * const permit = semaphore.acquire();
 * semaphore.available; // 2
 * permit.release();
 * ```
 */
export class Semaphore {
  /** How many permits there are. */
  readonly permits: number;
  readonly #mapping: Mapping;
  readonly #record: MappingRecord;
  readonly #offset: number;
  readonly #cells: (Cell | undefined)[];
  #words: Int32Array;
  #held = 0;
  /** Where a free one is looked for first. */
  #first = 0;

  /**
   * A semaphore at an offset of a shared, writable mapping. With `permits` zeroed memory is made one, by any number of processes at once;
   * without, it must be one already. ERR_MEMMAP_ARGUMENT for memory of something else, or of other permits.
   */
  constructor(mapping: Mapping, options?: SemaphorePlace) {
    this.#record = recordOf(mapping);
    const given = validate.options('options', options, PLACE);
    this.#offset = given.offset === undefined ? 0 : validate.bytes('options.offset', given.offset);
    const asked = given.permits === undefined ? undefined : permitsOf(given.permits);
    if (asked !== undefined) validate.within(this.#offset, bytesOf(asked), mapping.length);
    this.#mapping = mapping;
    // Refuses what no cell can lie in, before anything is written.
    new Cell(mapping, this.#offset + HEAD);
    this.permits = settled(wordsOf(mapping, this.#offset, HEAD), asked);
    if (bytesOf(this.permits) > mapping.length - this.#offset) {
      throw makesNoSense('Semaphore', `${String(this.permits)} permits`);
    }
    this.#words = wordsOf(mapping, this.#offset, bytesOf(this.permits));
    this.#cells = Array<undefined>(this.permits).fill(undefined);
  }

  /** Bytes that a semaphore takes in memory. */
  static bytesFor(permits: number): number {
    return bytesOf(permitsOf(permits));
  }

  /** How many permits nobody has, at this instant. */
  get available(): number {
    const words = this.#live();
    let free = 0;
    for (let index = 0; index < this.permits; index++) if (isFree(words, index)) free++;
    return free;
  }

  /**
   * Waits for a permit, blocking this thread. ERR_MEMMAP_BUSY where this very object has them all: it would wait for itself.
   * ERR_MEMMAP_TIMEOUT; ERR_MEMMAP_FAULT where the file was cut short.
   */
  acquire(options?: LockOptions): Permit {
    const patience = patienceOf(options);
    return inWhole(
      this.#record,
      () => {
        if (this.#held === this.permits) {
          throw misuse('BUSY', 'this thread has all the permits, and would wait for itself', {
            hint: 'acquireAsync() waits for another part of the same program',
          });
        }
        return waitFor(this.#quest, patience);
      },
      release,
    );
  }

  /** A permit, if there is one; otherwise undefined. Never waits. */
  tryAcquire(): Permit | undefined {
    return inWhole(this.#record, () => this.#attempt(), release);
  }

  /** Waits for a permit without blocking. It belongs to this thread. Rejects as `acquire` throws, and with the signal's reason. */
  async acquireAsync(options?: LockAsyncOptions): Promise<Permit> {
    const patience = laterOf(options);
    return inWholeLater(this.#record, () => waitLater(this.#quest, patience), release);
  }

  /** Its words. They are made again where resize() detached them. */
  #live(): Int32Array {
    if (this.#words.length === 0) {
      this.#words = wordsOf(this.#mapping, this.#offset, bytesOf(this.permits));
    }
    return this.#words;
  }

  get #quest(): Quest<Permit> {
    return {
      missed: 'no permit was free',
      attempt: () => this.#attempt(),
      rest: () => ({
        ...this.#spot,
        value: Atomics.or(this.#live(), BELL_AT, SLEEPERS) | SLEEPERS,
      }),
      giveUp: () => {
        if (this.#mapping.state === 'mapped' && this.available > 0) rouse(this.#spot, 1);
      },
    };
  }

  get #spot(): Spot {
    return { mapping: this.#mapping, offset: this.#offset + BELL_AT * 4 };
  }

  #attempt(): Permit | undefined {
    const words = this.#live();
    for (let tried = 0; tried < this.permits; tried++) {
      const index = (this.#first + tried) % this.permits;
      if (!isFree(words, index)) continue;
      const cell = (this.#cells[index] ??= new Cell(
        this.#mapping,
        this.#offset + HEAD + index * CELL_SIZE,
      ));
      const attempt = cell.take();
      if (attempt === 'held') continue;
      this.#held++;
      this.#first = index;
      return new Held(index, attempt === 'inherited', () => {
        this.#leave(cell);
      });
    }
    return undefined;
  }

  #leave(cell: Cell): void {
    this.#held--;
    cell.leave();
    // Meanwhile somebody may have unmapped it: then nobody of this thread waits.
    if (this.#mapping.state !== 'mapped') return;
    this.#ring(this.#live());
  }

  /** One more is free. */
  #ring(words: Int32Array): void {
    const before = Atomics.add(words, BELL_AT, SLEEPERS + 1);
    if ((before & SLEEPERS) === 0) return;
    if (rouse(this.#spot, 1) > 0) return;
    // Nobody sleeps any more, unless one lay down just now.
    const now = (before + SLEEPERS + 1) | 0;
    if (Atomics.compareExchange(words, BELL_AT, now, now & ~SLEEPERS) === now)
      rouse(this.#spot, Infinity);
  }
}

const isFree = (words: Int32Array, index: number): boolean =>
  (Atomics.load(words, HEAD / 4 + index * STEP) & HOLDER) === 0;

function release(permit: Permit | undefined): void {
  permit?.[Symbol.dispose]();
}

class Held implements Permit {
  readonly index: number;
  readonly ownerDied: boolean;
  readonly #leave: () => void;
  #held = true;

  constructor(index: number, ownerDied: boolean, leave: () => void) {
    this.index = index;
    this.ownerDied = ownerDied;
    this.#leave = leave;
  }

  release(): void {
    if (!this.#held) {
      throw misuse('ARGUMENT', 'the permit was given back already', {
        hint: 'release or requeue each message once',
      });
    }
    this.#held = false;
    this.#leave();
  }

  [Symbol.dispose](): void {
    if (this.#held) this.release();
  }
}
