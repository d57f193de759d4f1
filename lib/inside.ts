// What the classes let the rest of the package do with them. Filled in by mapping.ts and
// reservation.ts, so that the verbs below the classes need not import them.
import type { ArenaSpace } from './reservation/arena-space.js';
import type { Mapping } from './mapping.js';
import type { MappingRecord } from './record.js';
import type { Reserve } from './reservation/reserve.js';
import type { Descriptor } from './shared/descriptor.js';

interface Inside {
  /** The record of a Mapping; undefined for any other object. */
  recordOf: (value: object) => MappingRecord | undefined;
  /** Makes the Mapping of a record and enters it into the registry. */
  create: (record: MappingRecord) => Mapping;
  /** What is left of a mapping that was partly unmapped or replaced. */
  setParts: (mapping: Mapping, parts: Mapping[]) => void;
  /** The reserve of a Reservation; undefined for any other object. */
  reserveOf: (value: object) => Reserve | undefined;
  /** What a Reservation keeps: everything that lies in it. */
  placedIn: (value: object) => Set<Mapping> | undefined;
  /** The free pages of an Arena; undefined for any other object. */
  arenaSpaceOf: (value: object) => ArenaSpace | undefined;
  /** The descriptor of a SharedMemory; undefined for any other object. */
  sharedFileOf: (value: object) => Descriptor | undefined;
}

const unfilled = (): never => {
  throw new Error('memmap: lib/mapping.ts was not loaded');
};

export const inside: Inside = {
  recordOf: unfilled,
  create: unfilled,
  setParts: unfilled,
  reserveOf: () => undefined,
  placedIn: () => undefined,
  arenaSpaceOf: () => undefined,
  sharedFileOf: () => undefined,
};
