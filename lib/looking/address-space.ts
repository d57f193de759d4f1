// The public object of the address space: what it holds, whoever made it, and ranges of it to place
// mappings in.
import { type Arena, type ArenaOptions, makeArena } from '../reservation/arena.js';
import type { Fragmentation } from './fragmentation.js';
import type { ProcessOptions } from './looking.js';
import type * as OwnTrace from './own-trace.js';
import type { Region } from './region.js';
import type * as Regions from './regions.js';
import type { Trace } from './trace.js';

let loaded: typeof Regions | undefined;

// Loaded when somebody looks for the first time: most programs never do.
/* eslint-disable @typescript-eslint/no-require-imports */
const look = (): typeof Regions => (loaded ??= require('./regions.js') as typeof Regions);
const tracing = () => require('./own-trace.js') as typeof OwnTrace;
/* eslint-enable */

export type { ProcessOptions };

/** Everything that is mapped in a process, also by V8, libc and other libraries; and arenas. */
export const addressSpace = {
  /**
   * Every region of a process, by address: what it allows, what is behind it, who it belongs to.
   * It is stale on arrival: never look, then map. ESRCH where there is no such process, EPERM where
   * it is another user's. Source: proc_pid_maps(5), proc_pid_smaps(5).
   *
   * @example
   * ```js
   * const libraries = memmap.addressSpace.regions().filter(({ owner }) => owner.kind === 'library');
   * ```
   */
  regions(options?: ProcessOptions): Region[] {
    return look().listRegions(options);
  },

  /**
   * The region of this process that holds an address, if there is one. One system call on Linux
   * 6.11 and later (PROCMAP_QUERY); before that the kernel's list is read up to it.
   */
  query(address: number | bigint): Region | undefined {
    return look().regionAt(address);
  },

  /** How cut up the address space of a process is, and how much of it is taken. */
  fragmentation(options?: ProcessOptions): Fragmentation {
    return look().measureFragmentation(options);
  },

  /**
   * Reserves `size` bytes of address space for mappings: `{ arena }` of `mapFile` and `mapAnonymous`
   * places them there, by `policy`, at multiples of `alignment`. See Arena. Errors: those of `reserve`.
   */
  arena(options: ArenaOptions): Arena {
    return makeArena(options);
  },

  /**
   * The calls that mapped and unmapped memory in this process, by whom, from the first instruction
   * to this moment; undefined unless `memmap run` started it. Linux only.
   */
  trace(): Trace | undefined {
    return tracing().ownTrace();
  },
} as const;
