// 64 bytes of shared memory that one thread at a time holds. However the thread dies, the kernel
// marks the cell and wakes one who waits: whoever takes it next knows. All zeros: free.
import { check, codeOf, native } from '../binding.js';
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import { whereOf } from '../ranges.js';
import type { MappingRecord } from '../record.js';
import {
  type SleepResult,
  type Spot,
  isUnsupported,
  nanosecondsOf,
  resultOf,
  sharedRecord,
  rouse,
  wordsOf,
} from './futex.js';

/** Bytes of a cell; from 44 on they are free to whoever uses it. */
export const CELL_SIZE = 64;
const CHANGED = { alignment: 8, use: 'write' } as const;

const WAITS = 0x80000000 | 0;
const DIED = 0x40000000;
const HOLDER = 0x3fffffff;

/** Its words: the lock, and the generation. */
const LOCK = 0;
const KIND = 4;
const GENERATION = 10;

/** A word that no cell has while it is free: sleeping on it ends at once. */
const NOBODY = HOLDER | WAITS;

const TAKEN = ['taken', 'inherited', 'held', 'own'] as const;
const NO_ROOM = 4;
const NOT_HELD = 1;
const CORRUPT = 2;
const WOKE = 3;

/** `own`: the thread that asks holds it already. */
export type Attempt = (typeof TAKEN)[number];

/** The robust primitive under every lock. The thread that takes it holds it. */
export class Cell {
  readonly spot: Spot;
  #words: Int32Array;
  /** Of the mapping in which it is held. */
  #holding: MappingRecord | undefined;
  /** There may be others who sleep, as this one did: until nobody was there to be woken. */
  #crowded = false;

  constructor(mapping: Mapping, offset: number) {
    this.spot = { mapping, offset };
    sharedRecord(mapping, { offset, length: CELL_SIZE }, CHANGED);
    this.#words = wordsOf(mapping, offset, CELL_SIZE);
  }

  /** Of the mapping it lies in, which must be there. */
  get record(): MappingRecord {
    const { mapping, offset } = this.spot;
    const range = { offset, length: CELL_SIZE };
    return sharedRecord(mapping, range, CHANGED);
  }

  /** Its 16 words. They are made again where resize() detached them. */
  get words(): Int32Array {
    if (this.#words.length === 0) {
      this.#words = wordsOf(this.spot.mapping, this.spot.offset, CELL_SIZE);
    }
    return this.#words;
  }

  /**
   * Tries once, never waits. 'inherited': its last holder died, or left it as if. Every success
   * makes the generation one greater.
   */
  take(): 'taken' | 'inherited' | 'held' {
    const attempt = this.attempt();
    return attempt === 'own' ? 'held' : attempt;
  }

  /** The same, and 'own' where it is this very thread that holds it. */
  attempt(): Attempt {
    if (this.#holding !== undefined) return 'own';
    const record = this.record;
    // The fault guard mends what has views.
    if (this.words.length === 0) return 'held';
    const answer = native.tryLockRobust(
      record.start,
      record.lead + this.spot.offset,
      this.#crowded,
    );
    if (isUnsupported(answer)) {
      throw misuse('UNSUPPORTED', 'robust futexes are not available on this system', {
        hint: 'locks in shared memory need Linux',
      });
    }
    const taken = check(answer, whereOf(record));
    if (taken === NO_ROOM) {
      throw misuse(
        'NO_ROOM',
        'this thread holds 2000 locks, the most that the kernel releases when it exits',
        {
          hint: 'release some, or take them in other threads',
        },
      );
    }
    const attempt = TAKEN[taken] ?? 'held';
    if (attempt === 'taken' || attempt === 'inherited') {
      this.#holding = record;
      record.pins++;
      record.hold();
    }
    return attempt;
  }

  /** Frees it and wakes one who waits. `died`: the next one inherits it. */
  leave({ died = false }: { readonly died?: boolean } = {}): void {
    const record = this.#holding;
    if (record === undefined) throw notHeld();
    const answer = native.unlockRobust(record.start, record.lead + this.spot.offset, died);
    this.#holding = undefined;
    record.pins--;
    record.letGo();
    const left = check(answer, whereOf(record));
    this.#crowded = left === WOKE;
    if (left === NOT_HELD) throw notHeld();
    if (left === CORRUPT) {
      throw misuse('CORRUPT', 'the lock was overwritten while it was held', whereOf(record));
    }
  }

  /** Whether this object holds it. */
  get heldHere(): boolean {
    return this.#holding !== undefined;
  }

  state(): 'free' | 'held' | 'died' {
    const word = Atomics.load(this.words, LOCK);
    if ((word & HOLDER) !== 0) return 'held';
    return (word & DIED) === 0 ? 'free' : 'died';
  }

  /** What `pthread_mutex_t` of glibc calls `__kind`; 0 where no C program has set it up. */
  get kind(): number {
    return Atomics.load(this.words, KIND);
  }

  /** How often it has been taken. */
  get generation(): number {
    return Atomics.load(this.words, GENERATION);
  }

  /**
   * Asks the holder, or the kernel when it dies, for a wake-up; gives the value to sleep on. Where
   * nobody holds it any more that is one it does not have: take it.
   */
  expectWaiters(): number {
    const { words } = this;
    this.#crowded = true;
    for (;;) {
      const word = Atomics.load(words, LOCK);
      if ((word & HOLDER) === 0) return NOBODY;
      const marked = word | WAITS;
      if (word === marked || Atomics.compareExchange(words, LOCK, word, marked) === word) {
        return marked;
      }
    }
  }

  /**
   * For those who slept and will not take it: a wake-up may have come that was meant for one who
   * does. Where somebody has taken it meanwhile, that one is to wake the next.
   */
  giveUp(): void {
    if (!this.#crowded || this.spot.mapping.state !== 'mapped') return;
    if (this.expectWaiters() === NOBODY) rouse(this.spot, 1);
  }

  /** Sleeps until it may be free, at most `ms` and never longer than 100 ms. */
  sleep(ms: number): SleepResult {
    const record = this.record;
    const value = this.expectWaiters() >>> 0;
    const at = record.lead + this.spot.offset;
    const answer = native.waitRobust(record.start, at, value, nanosecondsOf(ms));
    // Cut short since: the next look says so.
    return codeOf(answer) === 'EFAULT' ? 'ok' : resultOf(check(answer, whereOf(record)));
  }
}

const notHeld = (): Error =>
  misuse('ARGUMENT', 'the lock is not held by this object', {
    hint: 'only the holder may unlock it, and only once',
  });
