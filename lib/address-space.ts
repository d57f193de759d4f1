// The public object of what an address space holds, whoever made it.
import type { Fragmentation } from './fragmentation.js';
import type { ProcessOptions } from './looking.js';
import { ownTrace } from './own-trace.js';
import type { Region } from './region.js';
import { listRegions, measureFragmentation, regionAt } from './regions.js';
import type { Trace } from './trace.js';

export type { ProcessOptions };

/** Everything that is mapped in a process, also by V8, libc and other libraries. */
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
    return listRegions(options);
  },

  /**
   * The region of this process that holds an address, if there is one. One system call on Linux
   * 6.11 and later (PROCMAP_QUERY); before that the kernel's list is read up to it.
   */
  query(address: number | bigint): Region | undefined {
    return regionAt(address);
  },

  /** How cut up the address space of a process is, and how much of it is taken. */
  fragmentation(options?: ProcessOptions): Fragmentation {
    return measureFragmentation(options);
  },

  /**
   * The calls that mapped and unmapped memory in this process, by whom, from the first instruction
   * to this moment; undefined unless `memmap run` started it. Linux only.
   */
  trace(): Trace | undefined {
    return ownTrace();
  },
} as const;
