// What the Mapping class lets the rest of the package do with it. Filled in by mapping.ts, so that
// the verbs below the class need not import it.
import type { Mapping } from './mapping.js';
import type { MappingRecord } from './record.js';

interface Inside {
  /** The record of a Mapping; undefined for any other object. */
  recordOf: (value: object) => MappingRecord | undefined;
  /** Makes the Mapping of a record and enters it into the registry. */
  create: (record: MappingRecord) => Mapping;
  /** What is left of a mapping that was partly unmapped or replaced. */
  setParts: (mapping: Mapping, parts: Mapping[]) => void;
}

const unfilled = (): never => {
  throw new Error('memmap: lib/mapping.ts was not loaded');
};

export const inside: Inside = { recordOf: unfilled, create: unfilled, setParts: unfilled };
