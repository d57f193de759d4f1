// addressSpace.arena(): mappings side by side in one range of addresses.
import { ArenaSpace } from './arena-space.js';
import { misuse } from '../errors.js';
import type { Policy } from './free-space.js';
import { inside } from '../inside.js';
import { registry } from '../record.js';
import type { Reserve } from './reserve.js';
import { type ReserveOptions, reservePlan } from './reserve-options.js';
import { makeReserve, releaseReserve } from './reserving.js';
import { options as readOptions, word, wrongKind } from '../validate.js';

/** Of `addressSpace.arena`. */
export interface ArenaOptions extends ReserveOptions {
  /** Bytes of address space, rounded up to pages. They cost no memory. */
  size: number | bigint;
  /**
   * Which free range a mapping is given: the lowest ('first-fit', default), the smallest ('best-fit')
   * or the highest ('top-down') that is long enough. 'segregated' is first-fit for what lives long and
   * top-down for what was mapped with `{ lifetime: 'short' }`.
   */
  policy?: Policy;
}

/** How full an arena is. Bytes, unless said otherwise. */
export interface ArenaStats {
  /** All of it. */
  readonly size: number;
  /** Of its mappings, in whole pages. */
  readonly used: number;
  /** Neither used nor cooling. */
  readonly free: number;
  /** Unmapped, but native code may still be reading it: free again after some seconds. */
  readonly cooling: number;
  /** The longest free range. */
  readonly largestFree: number;
  /** 0 when what is free is one range; towards 1 the more it is in pieces. */
  readonly fragmentation: number;
  /** How many mappings are in it. */
  readonly mappings: number;
  /** How many free ranges. */
  readonly freeRanges: number;
}

const key = Symbol('memmap');

/**
 * A reserved range of addresses that mappings are placed in: `{ arena }` of `mapFile` and
 * `mapAnonymous`. A range that is freed is never given to anybody else. When it is full, mapping is
 * ERR_MEMMAP_NO_ROOM with `largestFree`. Made by `addressSpace.arena`. An Arena that nobody can reach
 * is released; its mappings stay.
 *
 * @example
 * ```js
 * const arena = memmap.addressSpace.arena({ size: 2 ** 30 });
 * const m = memmap.mapAnonymous(100, { arena });
 * m.address === arena.address; // true: the lowest place that is free
 * arena.release();
 * ```
 */
export class Arena {
  readonly #space: ArenaSpace;

  static {
    inside.arenaSpaceOf = (value) => (#space in value ? value.#space : undefined);
  }

  /** @internal Arenas are made by `addressSpace.arena`, not by `new`. */
  constructor(secret: symbol, space: ArenaSpace) {
    if (secret !== key) throw misuse('ARGUMENT', 'an Arena is made by addressSpace.arena()');
    this.#space = space;
  }

  /** Address of its first byte. */
  get address(): bigint {
    return BigInt(reserveOf(this).inner.start);
  }

  /** Its size in bytes. */
  get size(): number {
    const { inner } = reserveOf(this);
    return inner.end - inner.start;
  }

  /** How it places mappings. */
  get policy(): Policy {
    return spaceOf(this).policy;
  }

  /** 'released' once it was given back. */
  get state(): 'reserved' | 'released' {
    return reserveOf(this).state;
  }

  /** How full it is. */
  stats(): ArenaStats {
    const space = spaceOf(this);
    const { inner, state } = space.reserve;
    const size = inner.end - inner.start;
    if (state === 'released') return { ...NOTHING, size };
    const { free, cooling, largestFree, freeRanges } = space.counts();
    return {
      size,
      used: size - free - cooling,
      free,
      cooling,
      largestFree,
      fragmentation: free === 0 ? 0 : 1 - largestFree / free,
      mappings: registry.entriesIn(inner.start, inner.end).length,
      freeRanges,
    };
  }

  /** Unmaps everything in it and gives the range back, as `Reservation.release` does. */
  release(): void {
    releaseReserve(reserveOf(this));
  }

  /** `release`, at the end of a `using` block. */
  [Symbol.dispose](): void {
    releaseReserve(reserveOf(this));
  }
}

const NOTHING = {
  used: 0,
  free: 0,
  cooling: 0,
  largestFree: 0,
  fragmentation: 0,
  mappings: 0,
  freeRanges: 0,
};

function spaceOf(receiver: unknown): ArenaSpace {
  const is = typeof receiver === 'object' && receiver !== null;
  const space = is ? inside.arenaSpaceOf(receiver) : undefined;
  if (space === undefined) throw wrongKind('this', 'an Arena', receiver);
  return space;
}

const reserveOf = (receiver: unknown): Reserve => spaceOf(receiver).reserve;

const POLICIES = ['first-fit', 'best-fit', 'top-down', 'segregated'] as const;
const OPTIONS = ['size', 'policy', 'alignment', 'address', 'placement', 'guardPages'] as const;

/** `addressSpace.arena`. */
export function makeArena(options: ArenaOptions): Arena {
  if (typeof options !== 'object') throw wrongKind('options', 'an object with size', options);
  const { size, policy: given, ...where } = readOptions('options', options, OPTIONS);
  const plan = reservePlan(size, where, 'options.size');
  const policy = given === undefined ? 'first-fit' : word('options.policy', given, POLICIES);
  return makeReserve(
    plan,
    (reserve) => new Arena(key, new ArenaSpace(reserve, policy, plan.alignment)),
  );
}
