// What a handle of a channel is, apart from its messages: where it lies, its life, how its calls wait. Its other half is channel.ts.
import { setImmediate } from 'node:timers/promises';
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import { type ChannelPlan, memoryOf } from './channel-options.js';
import { type ChannelStats, statsOf } from './channel-stats.js';
import { Endpoint } from './endpoint.js';
import type { Line, Patience } from './line.js';
import { ANSWER, UNIT, WORD } from './ring-layout.js';
import { LOCK_PATIENCE } from './ring-memory.js';
import type { SharedMemory } from './shared-memory.js';
import { type Spin, patienceOf } from './waiting-options.js';
import { type Attempt, Waiting, isSettled } from './waiting.js';

/** Calls that need not wait, one after the other, before the rest of the program gets a turn. */
const IN_A_ROW = 256;

/** Looks at the ring before the first look at the clock. */
const LOOKS = 16;

/** Milliseconds that close() waits for a lock; who holds one for longer does not go on. */
const CLOSE_PATIENCE = 1000;

/** Handles that nobody can reach leave. */
const dropped = new FinalizationRegistry<Endpoint>((end) => {
  try {
    end.detach();
  } catch {
    // Somebody wrote over its place; nobody is left who could be told.
  }
});

/** The life of a handle, and what it knows of its channel. */
export abstract class ChannelHandle {
  /** @internal */
  protected readonly end: Endpoint;
  /** @internal */
  protected readonly waiting: Waiting;
  readonly #isOwn: boolean;
  readonly #shared: SharedMemory | undefined;
  #ref: boolean;
  #row = 0;

  /** @internal */
  constructor(memory: unknown, { offset, length, ref }: ChannelPlan, owned?: SharedMemory) {
    const { mapping, isOwn } = memoryOf(memory);
    try {
      this.end = new Endpoint({ mapping, offset, length, isThere: owned !== undefined });
    } catch (error) {
      if (isOwn) mapping.unmap();
      owned?.close();
      throw error;
    }
    this.#shared = owned;
    this.#ref = ref;
    this.#isOwn = isOwn;
    this.waiting = new Waiting(this.end);
    dropped.register(this, this.end, this);
  }

  /** The shared memory that `create` or `open` made or opened: its `fd` is what a child inherits. Closed by `detach`. */
  get shared(): SharedMemory | undefined {
    return this.#shared;
  }

  /** The memory it lies in. It cannot be unmapped before `detach`. */
  get mapping(): Mapping {
    return this.end.mapping;
  }

  /** Bytes for messages, 8 for each of them included. */
  get capacity(): number {
    return this.end.ring.units * UNIT;
  }

  /** The longest message, in bytes. */
  get maxMessage(): number {
    return this.end.maxMessage;
  }

  /** Whether somebody has closed it. */
  get closed(): boolean {
    this.end.check();
    const isClosed = Atomics.load(this.end.words, WORD.closed) !== 0;
    this.end.answer(0);
    return isClosed;
  }

  /** How full it is, and who takes part. Counts message by message, and those who receive wait meanwhile. */
  stats(): ChannelStats {
    this.end.check();
    return statsOf(this.end);
  }

  /**
   * The end of the channel, for everybody: `send` is ERR_MEMMAP_CLOSED from now on, and `receive` gives what was sent before, then
   * undefined. Doing it again does nothing. The handle stays.
   */
  close(): void {
    this.end.check();
    this.end.sender.close(CLOSE_PATIENCE);
    this.end.answer(0);
  }

  /**
   * Only this handle leaves: its place is free, calls of its own that wait are ERR_MEMMAP_CLOSED, what it holds in place is given
   * up. Unmaps what `create`, `open` or `new Channel(shared)` mapped. Doing it again does nothing.
   */
  detach(): void {
    if (this.end.isDetached) return;
    dropped.unregister(this);
    try {
      this.end.detach();
    } finally {
      this.#shared?.close();
      if (this.#isOwn) this.end.mapping.unmap();
    }
  }

  /** `detach`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.detach();
  }

  /** Calls that wait keep the process alive, which they do by default. */
  ref(): this {
    this.#ref = true;
    return this;
  }

  /** Calls that wait from now on do not keep the process alive. */
  unref(): this {
    this.#ref = false;
    return this;
  }

  /** @internal */
  protected patience(options: unknown): Patience {
    return patienceOf(options, this.#ref);
  }

  /**
   * @internal Before a call that blocks: those that wait already come first, and cannot while it does. After all code of the
   * caller's (getters, toJSON), which may have detached the handle.
   */
  protected mustBeFirst(line: Line): void {
    this.end.check();
    if (line.isFree) return;
    throw misuse('BUSY', 'other calls of this handle wait, and would be overtaken', {
      hint: 'await them first, or use another handle',
    });
  }

  /** @internal The answer, once it is one; blocks meanwhile. */
  protected now(line: Line, attempt: Attempt, times: Spin): number {
    this.mustBeFirst(line);
    const { ring } = this.end;
    ring.patience = Math.min(LOCK_PATIENCE, times.timeout);
    try {
      for (let look = 0; look < LOOKS; look++) {
        const answer = attempt.try();
        if (isSettled(answer)) return answer;
        // It has waited for a lock: somebody must look at the clock.
        if (answer === ANSWER.busy) break;
      }
      return this.waiting.now(attempt, times);
    } finally {
      ring.patience = LOCK_PATIENCE;
    }
  }

  /** @internal The answer, once it is one; in a line with other calls of this handle. */
  protected async later(line: Line, attempt: Attempt, patience: Patience): Promise<number> {
    patience.signal?.throwIfAborted();
    // What is the caller's has run until here: the getters of its options, toJSON.
    this.end.check();
    if (line.isFree && this.#row < IN_A_ROW) {
      this.#row++;
      const answer = attempt.try();
      if (isSettled(answer)) return answer;
    }
    await line.enter(patience);
    try {
      // In the line: whoever comes meanwhile stays behind us.
      if (this.#row++ >= IN_A_ROW) {
        this.#row = 0;
        await setImmediate(undefined, { ref: patience.ref });
      }
      return await this.waiting.later(attempt, patience);
    } finally {
      line.leave();
    }
  }

  /** @internal What can be done once the channel is closed: nothing that sends. */
  protected mustBeOpen(answer: number): void {
    if (answer !== ANSWER.closed) return;
    throw misuse('CLOSED', 'the channel was closed: nothing can be sent any more');
  }
}
