// addressSpace: the whole of the address space, and ranges of it to place mappings in.
import { type Arena, type ArenaOptions, makeArena } from './arena.js';

/** Looking at the address space, and placing mappings in it by a policy of one's own. */
export const addressSpace = {
  /**
   * Reserves `size` bytes of address space for mappings: `{ arena }` of `mapFile` and `mapAnonymous`
   * places them there, by `policy`, at multiples of `alignment`. See Arena.
   *
   * Errors: those of `reserve`.
   */
  arena(options: ArenaOptions): Arena {
    return makeArena(options);
  },
} as const;
