// How one waits for something in shared memory: looks, asks for a wake-up, looks again, sleeps for a short while. Whoever was
// woken may have been killed with the wake-up, so that nobody ever sleeps for long.
import { callGuarded, collectFaults, mustBeWhole } from '../faults.js';
import { misuse } from '../errors.js';
import { inside } from '../inside.js';
import type { Mapping } from '../mapping.js';
import type { MappingRecord } from '../record.js';
import * as validate from '../validate.js';
import { type Spot, nap, napLater } from './futex.js';
import type { LockAsyncOptions, LockOptions } from './mutex.js';

const SPIN = 100;
const MOST_SPINS = 1e8;
const SLICE_MS = 250;

/** Something that is waited for. */
export interface Quest<Found> {
  /** Looks once, never waits. */
  attempt(): Found | undefined;
  /** Asks for a wake-up: where, and on which value, to sleep. Everything is looked at again after this. */
  rest(): Spot & { readonly value: number };
  /**
   * Nobody waits any more, whatever ended it: lets go what was got on the way. A wake-up may have come meanwhile, and the next one
   * should have it. What it throws is said instead of what ended the wait.
   */
  giveUp?(): void;
  /** 'the lock was not free' */
  readonly missed: string;
}

/** The times of a blocking wait. */
export interface Patience {
  readonly timeout: number;
  readonly spins: number;
}

const timeoutOf = (timeout: unknown): number =>
  timeout === undefined ? Infinity : validate.milliseconds('options.timeout', timeout);

export function patienceOf(options: LockOptions | undefined): Patience {
  const given = validate.options('options', options, ['timeout', 'spin'] as const);
  const spins = given.spin === undefined ? SPIN : validate.bytes('options.spin', given.spin);
  return { timeout: timeoutOf(given.timeout), spins: Math.min(spins, MOST_SPINS) };
}

export function laterOf(options: LockAsyncOptions | undefined): {
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
} {
  const given = validate.options('options', options, ['timeout', 'signal'] as const);
  return { timeout: timeoutOf(given.timeout), signal: validate.signal(given.signal) };
}

const late = (quest: Quest<unknown>, timeout: number): Error =>
  misuse('TIMEOUT', `${quest.missed} within ${String(timeout)} ms`);

/** Blocks this thread until it is found. */
export function waitFor<Found>(quest: Quest<Found>, { timeout, spins }: Patience): Found {
  const deadline = performance.now() + timeout;
  try {
    for (let spin = 0; ; spin++) {
      const found = quest.attempt();
      if (found !== undefined) return found;
      if (spin < spins) continue;
      const left = deadline - performance.now();
      if (left <= 0) throw late(quest, timeout);
      const { value, ...spot } = quest.rest();
      const meanwhile = quest.attempt();
      if (meanwhile !== undefined) return meanwhile;
      nap(spot, value, left);
    }
  } catch (error) {
    quest.giveUp?.();
    throw error;
  }
}

/** The same without blocking. */
export async function waitLater<Found>(
  quest: Quest<Found>,
  { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal | undefined },
): Promise<Found> {
  const deadline = performance.now() + timeout;
  signal?.throwIfAborted();
  try {
    for (;;) {
      const found = quest.attempt();
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0) throw late(quest, timeout);
      const { value, ...spot } = quest.rest();
      const meanwhile = quest.attempt();
      if (meanwhile !== undefined) return meanwhile;
      await napLater(spot, value, { timeout: Math.min(left, SLICE_MS), signal });
    }
  } catch (error) {
    quest.giveUp?.();
    throw error;
  }
}

/** The record of an argument that must be a Mapping. */
export function recordOf(mapping: Mapping): MappingRecord {
  const is = typeof mapping === 'object' && (mapping as unknown) !== null;
  const record = is ? inside.recordOf(mapping) : undefined;
  if (record === undefined) throw validate.wrongKind('mapping', 'a Mapping', mapping);
  return record;
}

/**
 * Runs a call that only counts in memory that is whole: where a file was cut short the fault guard has put in pages that
 * nobody else sees. What was got meanwhile is given back by `undo`.
 */
export function inWhole<Found>(
  record: MappingRecord,
  call: () => Found,
  undo: (found: Found) => void,
): Found {
  collectFaults();
  if (record.log.faults.length > 0) mustBeWhole(record);
  if (!record.guarded) return call();
  const got: Found[] = [];
  try {
    return callGuarded(record, () => {
      const found = call();
      got.push(found);
      return found;
    });
  } catch (error) {
    for (const found of got) undo(found);
    throw error;
  }
}

/** The same for a call that waits. */
export async function inWholeLater<Found>(
  record: MappingRecord,
  call: () => Promise<Found>,
  undo: (found: Found) => void,
): Promise<Found> {
  collectFaults();
  if (record.log.faults.length > 0) mustBeWhole(record);
  if (!record.guarded) return call();
  const got: Found[] = [];
  try {
    return await callGuarded(record, async () => {
      const found = await call();
      got.push(found);
      return found;
    });
  } catch (error) {
    for (const found of got) undo(found);
    throw error;
  }
}

/** Writes a constant over zeros; gives the one that is there then. */
export function imprint(words: Int32Array, at: number, value: number): number {
  const found = Atomics.compareExchange(words, at, 0, value);
  return found === 0 ? value : found;
}

/** Shared memory was made for something else, or with other numbers. */
export const isAnother = (what: string, hint: string): Error =>
  misuse('ARGUMENT', `there is something else at this offset: ${what}`, { hint });
