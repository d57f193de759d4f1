// The Mutex class: who waits for a cell and how, and what is said of the one who died with it.
import { mustBeWhole, throwFaults } from '../faults.js';
import { misuse } from '../errors.js';
import { inside } from '../inside.js';
import type { Mapping } from '../mapping.js';
import * as validate from '../validate.js';
import { CELL_SIZE, Cell } from './cell.js';
import { napLater } from './futex.js';

/** How `lock` waits. */
export interface LockOptions {
  /** Milliseconds until ERR_MEMMAP_TIMEOUT. Default: for ever. */
  timeout?: number;
  /** How often it looks again before it sleeps. Default 100. */
  spin?: number;
}

/** How `lockAsync` waits. */
export interface LockAsyncOptions {
  /** Milliseconds until ERR_MEMMAP_TIMEOUT. Default: for ever. */
  timeout?: number;
  /** Rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** A lock that is held, until `unlock` or the end of a `using` block. */
export interface MutexGuard {
  /**
   * The one who held it before died with it, or let it go without `markConsistent` after such a
   * one: what it protects may be half done.
   */
  readonly ownerDied: boolean;
  /** What it protects is right again: the next one will not be told of a death. */
  markConsistent(): void;
  /** Lets it go. */
  unlock(): void;
  /** Lets it go, unless that was done already. */
  [Symbol.dispose](): void;
}

const SPIN = 100;

/** Wake-ups can be lost with whoever was woken and killed: so often is looked again. */
const SLICE_MS = 250;

/** As many as the tries of a spin may be: about a second. */
const MOST_SPINS = 1e8;

class Guard implements MutexGuard {
  readonly ownerDied: boolean;
  readonly #cell: Cell;
  #consistent = false;
  #held = true;

  constructor(cell: Cell, ownerDied: boolean) {
    this.#cell = cell;
    this.ownerDied = ownerDied;
  }

  get held(): boolean {
    return this.#held;
  }

  markConsistent(): void {
    if (!this.#held) throw notLocked();
    this.#consistent = true;
  }

  unlock(): void {
    if (!this.#held) throw notLocked();
    this.#held = false;
    this.#cell.leave({ died: this.ownerDied && !this.#consistent });
  }

  [Symbol.dispose](): void {
    if (this.#held) this.unlock();
  }
}

// Bits of glibc's pthread_mutex_t.__kind.
const ROBUST = 0x10;
const PRIORITY = 0x60;
const PROCESS_SHARED = 0x80;

/** A mutex that C set up otherwise works for as long as nobody has to wait, and then hangs. */
function mustBeRobust(kind: number): void {
  if (kind === 0) return;
  const usable = (kind & ROBUST) !== 0 && (kind & PROCESS_SHARED) !== 0 && (kind & PRIORITY) === 0;
  if (usable) return;
  throw misuse(
    'UNSUPPORTED',
    `the pthread_mutex_t there is not robust and process-shared without a priority protocol (kind 0x${(kind >>> 0).toString(16)})`,
    {
      hint: 'in C: pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) and pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED)',
    },
  );
}

const notLocked = (): Error =>
  misuse('ARGUMENT', 'the mutex is not locked here', {
    hint: 'only the holder may unlock it, and only once',
  });

/**
 * A lock in 64 bytes of shared memory, between processes and threads. All zeros are an unlocked
 * mutex; a C program of the same machine can use the same bytes as a robust, process-shared
 * `pthread_mutex_t` (glibc). The thread that locks it holds it. When that thread ends without
 * unlocking, however it ends, the next one gets the lock with `ownerDied: true`: it is never lost.
 * A guard that is forgotten keeps it locked, and its mapping mapped, until the thread ends.
 *
 * @example
 * ```js
 * const memory = memmap.mapAnonymous(4096, { shared: true });
 * const mutex = new memmap.Mutex(memory);
 * const guard = mutex.lock();
 * try {
 *   if (guard.ownerDied) guard.markConsistent(); // after what it protects was put right
 * } finally {
 *   guard.unlock();
 * }
 * ```
 */
export class Mutex {
  /** Bytes of one. */
  static readonly SIZE = CELL_SIZE;

  readonly #cell: Cell;
  #guard: Guard | undefined;

  /** The mutex at a byte offset of a shared, writable mapping; its address is a multiple of 8. */
  constructor(mapping: Mapping, offset = 0) {
    const is = typeof mapping === 'object' && (mapping as unknown) !== null;
    if (!is || inside.recordOf(mapping) === undefined) {
      throw validate.wrongKind('mapping', 'a Mapping', mapping);
    }
    this.#cell = new Cell(mapping, validate.bytes('offset', offset));
  }

  /** Whether it is locked by this very object. */
  get held(): boolean {
    return this.#guard?.held === true;
  }

  /**
   * Locks it, blocking this thread. ERR_MEMMAP_BUSY where this thread holds it already: it would
   * wait for itself. ERR_MEMMAP_TIMEOUT; ERR_MEMMAP_FAULT where the file was cut short.
   */
  lock(options?: LockOptions): MutexGuard {
    if (options === undefined) return this.#lock(Infinity, SPIN);
    const given = validate.options('options', options, ['timeout', 'spin'] as const);
    const timeout = timeoutOf(given.timeout);
    const spins = given.spin === undefined ? SPIN : validate.bytes('options.spin', given.spin);
    return this.#lock(timeout, Math.min(spins, MOST_SPINS));
  }

  /** Locks it if nobody holds it; otherwise gives undefined. Never waits. */
  tryLock(): MutexGuard | undefined {
    const found = this.#try();
    return typeof found === 'string' ? undefined : found;
  }

  /**
   * Locks it without blocking, also where another part of this thread's program holds it: then it
   * waits for that. The guard belongs to this thread.
   */
  async lockAsync(options?: LockAsyncOptions): Promise<MutexGuard> {
    const given = validate.options('options', options, ['timeout', 'signal'] as const);
    return this.#lockLater(timeoutOf(given.timeout), validate.signal(given.signal));
  }

  /** Unlocks what this object has locked. */
  unlock(): void {
    if (this.#guard === undefined) throw notLocked();
    this.#guard.unlock();
  }

  /** Takes nothing in memory whose file was cut short: what is locked there is locked for nobody. */
  #try(): Guard | 'held' | 'own' {
    const { record } = this.#cell;
    throwFaults(record);
    if (record.log.faults.length > 0) mustBeWhole(record);
    mustBeRobust(this.#cell.kind);
    const attempt = this.#cell.attempt();
    if (attempt === 'held' || attempt === 'own') return attempt;
    const guard = new Guard(this.#cell, attempt === 'inherited');
    try {
      throwFaults(record);
    } catch (error) {
      guard.unlock();
      throw error;
    }
    return (this.#guard = guard);
  }

  #lock(timeout: number, spins: number): MutexGuard {
    let deadline = Infinity;
    let rest = spins;
    for (let round = 0; ; round++) {
      const found = this.#try();
      if (found === 'own') {
        throw misuse('BUSY', 'this thread holds the mutex already, and would wait for itself', {
          hint: 'lockAsync() waits for another part of the same program',
        });
      }
      if (found !== 'held') return found;
      if (round === 0) deadline = performance.now() + timeout;
      while (rest > 0 && this.#cell.state() === 'held') rest--;
      if (rest > 0) continue;
      const left = deadline - performance.now();
      if (left <= 0) throw this.#late(timeout);
      this.#cell.sleep(left);
    }
  }

  async #lockLater(timeout: number, signal: AbortSignal | undefined): Promise<MutexGuard> {
    const deadline = performance.now() + timeout;
    signal?.throwIfAborted();
    for (;;) {
      const found = this.#try();
      if (typeof found !== 'string') return found;
      const left = deadline - performance.now();
      if (left <= 0) throw this.#late(timeout);
      const value = this.#cell.expectWaiters();
      try {
        await napLater(this.#cell.spot, value, { timeout: Math.min(left, SLICE_MS), signal });
      } catch (error) {
        if (signal?.aborted === true) this.#cell.giveUp();
        throw error;
      }
    }
  }

  #late(timeout: number): Error {
    this.#cell.giveUp();
    return misuse('TIMEOUT', `the mutex was not free within ${String(timeout)} ms`);
  }
}

const timeoutOf = (timeout: unknown): number =>
  timeout === undefined ? Infinity : validate.milliseconds('options.timeout', timeout);
