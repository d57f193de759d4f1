// The RwLock class: who may read and who may write, what is said of a writer that died, and who would wait for himself.
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import type { Cell } from './cell.js';
import { rouse } from './futex.js';
import type { LockAsyncOptions, LockOptions, MutexGuard } from './mutex.js';
import { RwPlaces, bytesFor, readersOf } from './rw-places.js';
import {
  type Quest,
  inWhole,
  inWholeLater,
  laterOf,
  patienceOf,
  recordOf,
  waitFor,
  waitLater,
} from './waits.js';

/** Where an RwLock lies, and how large it is. */
export interface RwLockPlace {
  /** Bytes in the mapping; the address must be a multiple of 8. Default 0. */
  offset?: number;
  /** How many threads may read at once, from 1 to 1024. Default 62, or as many as fit; of one that is there, what it was made with. */
  readers?: number;
}

/** A lock that is held to read, until `unlock` or the end of a `using` block. */
export interface ReadGuard {
  /** A writer died, and no writer has put right since what it may have left half done. */
  readonly ownerDied: boolean;
  /** Lets it go. */
  unlock(): void;
  /** Lets it go, unless that was done already. */
  [Symbol.dispose](): void;
}

/** A lock that is held to write, until `unlock` or the end of a `using` block. */
export type WriteGuard = MutexGuard;

const PLACE = ['offset', 'readers'] as const;

const notLocked = (): Error =>
  misuse('ARGUMENT', 'the lock is not held by this guard', {
    hint: 'only the holder may unlock it, and only once',
  });

const selfish = (what: string): Error =>
  misuse('BUSY', `${what}, and would wait for itself`, {
    hint: 'unlock it first; readLockAsync() and writeLockAsync() wait for another part of the same program',
  });

class Guard implements WriteGuard {
  readonly ownerDied: boolean;
  readonly #leave: (consistent: boolean) => void;
  #held = true;
  #consistent = false;

  constructor(ownerDied: boolean, leave: (consistent: boolean) => void) {
    this.ownerDied = ownerDied;
    this.#leave = leave;
  }

  markConsistent(): void {
    if (!this.#held) throw notLocked();
    this.#consistent = true;
  }

  unlock(): void {
    if (!this.#held) throw notLocked();
    this.#held = false;
    this.#leave(!this.ownerDied || this.#consistent);
  }

  [Symbol.dispose](): void {
    if (this.#held) this.unlock();
  }
}

/** The guard of a reader: there is nothing that it could mark. */
function forReading(ownerDied: boolean, leave: () => void): ReadGuard {
  const guard = new Guard(ownerDied, leave);
  const unlock = (): void => guard.unlock();
  const dispose = (): void => guard[Symbol.dispose]();
  return { ownerDied, unlock, [Symbol.dispose]: dispose };
}

function release(guard: ReadGuard | undefined): void {
  guard?.[Symbol.dispose]();
}

/** The read locks of this object: however many, they are one place. */
interface Reading {
  readonly cell: Cell;
  readonly ownerDied: boolean;
  count: number;
}

/**
 * A lock in shared memory that many may have to read, or one to write, between processes and threads. Writers do not starve: who comes to
 * read while one waits lets it go first. The thread that locks it holds it, and when it ends without unlocking, however it ends, the others
 * go on. Of a writer that died writing each one is told by `ownerDied: true`, readers too, until a writer calls `markConsistent()`.
 *
 * A read lock cannot become a write lock: of two that want that, each would wait for the other to stop reading. Unlock, lock to write,
 * and look again.
 *
 * @example
 * ```js
 * const memory = memmap.mapAnonymous(4096, { shared: true });
 * const lock = new memmap.RwLock(memory);
 * const guard = lock.readLock();
 * guard.unlock();
 * lock.writeLock().unlock();
 * ```
 */
export class RwLock {
  readonly #places: RwPlaces;
  readonly #record: MappingRecord;
  #reading: Reading | undefined;

  /**
   * A lock at an offset of a shared, writable mapping; zeroed memory is one that nobody holds. ERR_MEMMAP_ARGUMENT for memory of something
   * else, or of another number of readers.
   */
  constructor(mapping: Mapping, options?: RwLockPlace) {
    this.#record = recordOf(mapping);
    const given = validate.options('options', options, PLACE);
    const offset = given.offset === undefined ? 0 : validate.bytes('options.offset', given.offset);
    const readers = given.readers === undefined ? undefined : readersOf(given.readers);
    this.#places = new RwPlaces(mapping, offset, readers);
  }

  /** Bytes that a lock takes in memory. */
  static bytesFor(readers: number): number {
    return bytesFor(readersOf(readers));
  }

  /** How many threads may read at once. */
  get readers(): number {
    return this.#places.readers;
  }

  /**
   * Locks it to read, blocking this thread. Where this object has it to read already that is enough. ERR_MEMMAP_BUSY where this object
   * has it to write: it would wait for itself. ERR_MEMMAP_TIMEOUT; ERR_MEMMAP_FAULT where the file was cut short.
   */
  readLock(options?: LockOptions): ReadGuard {
    const patience = patienceOf(options);
    const locked = (): ReadGuard => {
      const shared = this.#shareRead();
      if (shared !== undefined) return shared;
      if (this.#places.writer.heldHere) throw selfish('this thread writes');
      return waitFor(this.#readQuest(), patience);
    };
    return inWhole(this.#record, locked, release);
  }

  /** Locks it to read if no writer has it or waits for it; otherwise gives undefined. Never waits. */
  tryReadLock(): ReadGuard | undefined {
    return inWhole(this.#record, () => this.#tryRead(), release);
  }

  /** Locks it to read without blocking. The guard belongs to this thread. */
  async readLockAsync(options?: LockAsyncOptions): Promise<ReadGuard> {
    const patience = laterOf(options);
    return inWholeLater(this.#record, () => waitLater(this.#readQuest(), patience), release);
  }

  /**
   * Locks it to write, blocking this thread until nobody reads or writes. ERR_MEMMAP_BUSY where this object has it already, to read or to
   * write. ERR_MEMMAP_TIMEOUT; ERR_MEMMAP_FAULT where the file was cut short.
   */
  writeLock(options?: LockOptions): WriteGuard {
    const patience = patienceOf(options);
    const locked = (): WriteGuard => {
      if (this.#reading !== undefined) throw selfish('this thread reads');
      return waitFor(this.#writeQuest('blocks'), patience);
    };
    return inWhole<WriteGuard>(this.#record, locked, release);
  }

  /** Locks it to write if nobody has it; otherwise gives undefined. Never waits. */
  tryWriteLock(): WriteGuard | undefined {
    const once = (): WriteGuard | undefined => {
      const quest = this.#writeQuest('tries');
      const guard = quest.attempt();
      if (guard === undefined) quest.giveUp?.();
      return guard;
    };
    return inWhole<WriteGuard | undefined>(this.#record, once, release);
  }

  /** Locks it to write without blocking. The guard belongs to this thread. */
  async writeLockAsync(options?: LockAsyncOptions): Promise<WriteGuard> {
    const patience = laterOf(options);
    return inWholeLater<WriteGuard>(
      this.#record,
      () => waitLater(this.#writeQuest('tries'), patience),
      release,
    );
  }

  /** One more guard of the place that this object has already. */
  #shareRead(): ReadGuard | undefined {
    const reading = this.#reading;
    if (reading === undefined) return undefined;
    reading.count++;
    return forReading(reading.ownerDied, () => {
      if (--reading.count > 0) return;
      this.#reading = undefined;
      reading.cell.leave();
    });
  }

  #tryRead(): ReadGuard | undefined {
    const places = this.#places;
    // Whoever waits to write goes first.
    if (places.isWanted()) return undefined;
    if (this.#reading !== undefined) return this.#shareRead();
    const cell = places.enter();
    if (cell === undefined) return undefined;
    // Either a writer that comes now sees the place taken, or it is seen here.
    if (places.isWanted()) {
      cell.leave();
      return undefined;
    }
    this.#reading = { cell, ownerDied: places.dirty, count: 0 };
    return this.#shareRead();
  }

  #readQuest(): Quest<ReadGuard> {
    const { writer } = this.#places;
    let slept = false;
    // One is woken when a writer leaves, or dies: the others who want to read are woken by that one.
    const wakeOthers = (): void => {
      if (slept) rouse(writer.spot, Infinity);
    };
    return {
      missed: 'the read lock was not acquired',
      attempt: () => {
        const guard = this.#tryRead();
        if (guard !== undefined) wakeOthers();
        return guard;
      },
      rest: () => {
        slept = true;
        const full = this.#places.isWanted() ? undefined : this.#places.someReader(0);
        const cell = full?.cell ?? writer;
        return { ...cell.spot, value: cell.expectWaiters() };
      },
      giveUp: () => {
        if (this.#places.mapping.state === 'mapped' && !this.#places.isWanted()) wakeOthers();
      },
    };
  }

  #writeQuest(how: 'blocks' | 'tries'): Quest<WriteGuard> {
    const places = this.#places;
    const { writer } = places;
    let mine = false;
    let reader = 0;
    let blocker: Cell = writer;
    return {
      missed: 'the write lock was not acquired',
      attempt: () => {
        if (!mine) {
          const attempt = writer.attempt();
          if (attempt === 'own' && how === 'blocks')
            throw selfish('this thread writes, or waits for that');
          if (attempt === 'own' || attempt === 'held') return undefined;
          mine = true;
        }
        // A place that was seen free stays free: who comes to read sees the writer.
        const found = places.someReader(reader);
        if (found !== undefined) {
          reader = found.reader;
          blocker = found.cell;
          return undefined;
        }
        const ownerDied = places.dirty;
        places.dirty = true;
        return new Guard(ownerDied, (consistent) => {
          if (consistent) places.dirty = false;
          writer.leave();
        });
      },
      rest: () => ({ ...blocker.spot, value: blocker.expectWaiters() }),
      giveUp: () => {
        if (!mine) {
          if (places.mapping.state === 'mapped') writer.giveUp();
          return;
        }
        mine = false;
        writer.leave();
      },
    };
  }
}
