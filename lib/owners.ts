// The public registry: questions about what this thread owns.
import type { Mapping } from './mapping.js';
import { registry as records } from './record.js';
import { raw } from './validate.js';
import { type Drift, verify } from './verify.js';

/** Whoever owns a range of addresses. */
export type Owner = Mapping;

/** Addresses above what a number holds exactly are never ours: no kernel gives them unasked. */
const page = (address: bigint): number => Number(address);

/**
 * Every mapping that this thread made through memmap and has not unmapped. What is not in it is
 * unknown, never free.
 */
export const registry = {
  /** The live mappings, by address. */
  mappings(): Mapping[] {
    return records.ownersIn(0, Infinity);
  },

  /** Whose page holds the address, if it is ours. */
  at(address: number | bigint): Owner | undefined {
    return records.entryAt(page(raw('address', address)))?.owner;
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
