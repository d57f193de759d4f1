// The public registry: questions about what this thread owns.
import type { Mapping } from './mapping.js';
import { type Owner, registry as records } from './record.js';
import { raw } from './validate.js';
import { type Drift, verify } from './verify.js';

export type { Owner } from './record.js';

/** Addresses above what a number holds exactly are never ours: no kernel gives them unasked. */
const page = (address: bigint): number => Number(address);

/**
 * Every mapping and every reservation that this thread made through memmap and has not given back.
 * What is not in it is unknown, never free.
 */
export const registry = {
  /** The live mappings, by address. */
  mappings(): Mapping[] {
    return [...records.entries()].flatMap(({ owner }) => (owner === undefined ? [] : [owner]));
  },

  /** Whose page holds the address, if it is ours: a mapping, or the reservation that has it vacant. */
  at(address: number | bigint): Owner | undefined {
    const where = page(raw('address', address));
    return (records.entryAt(where) ?? records.reserves.at(where))?.owner;
  },

  /** Who owns pages of `length` bytes from `address`, by address. */
  overlapping(address: number | bigint, length: number | bigint): Owner[] {
    const start = page(raw('address', address));
    const size = page(raw('length', length));
    return size === 0 ? [] : records.ownersIn(start, start + size);
  },

  /** Where the kernel's own list disagrees; empty when the two agree. */
  verify(): Drift[] {
    return verify();
  },
} as const;
