// One look at a process: its regions, and what is read of them later and only if somebody asks.
import { check, native } from '../binding.js';
import { lookedAt } from './looking.js';
import type { Draft } from './owner-draft.js';
import { classify } from './region-owner.js';
import { type UsageColumn, usageOf } from './region-usage.js';
import { START, type Survey, rowAt } from './survey.js';

const nothing = new Float64Array(0);

/** The value, or nothing where the kernel does not want to tell. */
const orElse = <Value>(read: () => Value, otherwise: Value): Value => {
  try {
    return read();
  } catch {
    return otherwise;
  }
};

export class Listing {
  readonly survey: Survey;
  /** 0: this process. */
  readonly pid: number;
  /** All regions of the process, not one of them. */
  readonly #whole: boolean;
  #owners: Draft | undefined;
  #usage: Float64Array | undefined;

  constructor(pid: number, survey: Survey, whole = true) {
    this.pid = pid;
    this.survey = survey;
    this.#whole = whole;
  }

  static of(pid: number): Listing {
    return new Listing(pid, lookedAt(pid, native.regionTable(pid)));
  }

  /** Whose each row is; told by all of them together. */
  get owners(): Draft {
    return (this.#owners ??= classify(this.survey, {
      program: orElse(() => check(native.programPath(this.pid)), undefined),
      threads: orElse(() => check(native.threadStacks(this.pid)), nothing),
    }));
  }

  /** The same for one row: where it is the only one, by looking at its neighbours too. */
  ownerOf(row: number): { owners: Draft; row: number } {
    if (this.#whole) return { owners: this.owners, row };
    const all = Listing.of(this.pid);
    const found = rowAt(all.survey, this.survey.rows[START] as number);
    return found < 0 ? { owners: this.owners, row } : { owners: all.owners, row: found };
  }

  /** A number of a row in bytes, undefined where it cannot be known. Read for all rows at once. */
  usage(row: number, column: UsageColumn): number | undefined {
    this.#usage ??= orElse(() => usageOf(this.pid, this.survey), nothing);
    const value = this.#usage[row * 4 + column];
    return value === undefined || Number.isNaN(value) ? undefined : value;
  }
}
