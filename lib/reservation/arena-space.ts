// Which pages of an arena are free. Pages that native code may still be reading cool down first.
// Must never hold the Arena: the registry reaches this.
import { native } from '../binding.js';
import { misuse } from '../errors.js';
import { FreeSpace, type Lifetime, type Policy } from './free-space.js';
import { collect } from '../lifetime.js';
import type { Span } from '../page.js';
import { Queue } from '../queue.js';
import type { Reserve } from './reserve.js';

/** A little more than the addon's quarantine: looking earlier is in vain. */
const COOLING_MS = 10_500;

/** After a collection in vain it goes without for so many times as long as that took. */
const COLLECT_SHARE = 20;

/** As many as one mapping looks at. */
const AT_ONCE = 64;

interface Cooling extends Span {
  readonly since: number;
}

export interface ArenaCounts {
  readonly free: number;
  readonly largestFree: number;
  readonly freeRanges: number;
  readonly cooling: number;
}

export class ArenaSpace {
  readonly reserve: Reserve;
  readonly policy: Policy;
  readonly alignment: number;
  readonly #space: FreeSpace;
  readonly #cooling = new Queue<Cooling>();
  #collectAgain = 0;

  constructor(reserve: Reserve, policy: Policy, alignment: number) {
    this.reserve = reserve;
    this.policy = policy;
    this.alignment = alignment;
    this.#space = new FreeSpace(reserve.inner.start, reserve.inner.end, policy);
    reserve.freed = (span, now) => {
      this.give(span, now);
    };
  }

  /** Pages for `length` bytes, whole pages themselves; collects garbage where that makes room. */
  take(length: number, lifetime: Lifetime): number {
    if (this.reserve.state === 'released') {
      throw misuse('UNMAPPED', 'the arena was released', { address: BigInt(this.reserve.start) });
    }
    if (this.#cooling.length > 0) this.#cool(performance.now() - COOLING_MS, AT_ONCE);
    const start = this.#take(length, lifetime) ?? this.#takeAfterCollecting(length, lifetime);
    if (start !== undefined) return start;
    const { free, largestFree, cooling } = this.counts();
    const { start: at, end } = this.reserve.inner;
    throw misuse('NO_ROOM', `the arena has no ${String(length)} free bytes side by side`, {
      address: BigInt(at),
      length,
      largestFree,
      hint: `of its ${String(end - at)} bytes ${String(free)} are free, at most ${String(largestFree)} in one range, and ${String(cooling)} may still be read by native code`,
    });
  }

  /** Pages are free again, `now` or once nobody can be reading them. */
  give({ start, end }: Span, now: boolean): void {
    if (this.reserve.state === 'released') return;
    if (now) this.#space.give(start, end);
    else this.#cooling.push({ start, end, since: performance.now() });
  }

  counts(): ArenaCounts {
    this.#cool(Infinity, Infinity);
    const { free, largest, ranges } = this.#space;
    let cooling = 0;
    for (const { start, end } of this.#cooling) cooling += end - start;
    return { free, largestFree: largest, freeRanges: ranges, cooling };
  }

  #take(length: number, lifetime: Lifetime): number | undefined {
    return this.#space.take(length, this.alignment, lifetime);
  }

  #takeAfterCollecting(length: number, lifetime: Lifetime): number | undefined {
    this.#cool(Infinity, Infinity);
    const start = this.#take(length, lifetime);
    if (start !== undefined || performance.now() < this.#collectAgain) return start;
    this.#collect();
    this.#cool(Infinity, Infinity);
    const found = this.#take(length, lifetime);
    if (found !== undefined) this.#collectAgain = 0;
    return found;
  }

  /** A full arena is full at every call, and a collection takes long where the heap is large. */
  #collect(): void {
    const { owner } = this.reserve;
    const began = performance.now();
    collect();
    const ended = performance.now();
    this.#collectAgain = ended + COLLECT_SHARE * (ended - began);
    // Asked afterwards, so that the arena itself is not collected meanwhile.
    if (this.reserve.owner !== owner) throw new Error('memmap: an arena in use was collected');
  }

  /**
   * Those that have been cooling since before `before` and that the addon has let go, at most `most`
   * of them. They lie in the order of `since`; one that somebody still holds goes to the end.
   */
  #cool(before: number, most: number): void {
    const cooling = this.#cooling;
    const now = performance.now();
    for (let left = Math.min(most, cooling.length); left > 0; left--) {
      const oldest = cooling.first;
      if (oldest === undefined || oldest.since > before) return;
      cooling.shift();
      const { start, end } = oldest;
      if (native.isVacant(start, end - start) === true) this.#space.give(start, end);
      else cooling.push({ start, end, since: now });
    }
  }
}
