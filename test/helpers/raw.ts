// What tests of the raw calls have in common: this platform's numbers, and memory at a known place.

import { type Mapping, constants, mapAnonymous, pageSize } from '../../lib/index.js';
import { nowhere } from './kernel.js';

/** A constant that this platform must have. */
function bit(name: string): number {
  const value = constants[name];
  if (value === undefined) throw new Error(`this platform has no ${name}`);
  return value;
}

export const NONE = 0;
export const READ = bit('PROT_READ');
export const WRITE = bit('PROT_WRITE');
export const RW = READ | WRITE;
export const SHARED = bit('MAP_SHARED');
/** MAP_PRIVATE | MAP_ANONYMOUS */
export const PLAIN = bit('MAP_PRIVATE') | bit('MAP_ANONYMOUS');
export const PRIVATE = bit('MAP_PRIVATE');
export const FIXED = bit('MAP_FIXED');
export const PAGE = BigInt(pageSize);
export { bit };

/** Memory at a place where its pages are free again once they are unmapped. */
export function placed(pages: number, options: { shared?: boolean } = {}): Mapping {
  const address = nowhere(pages * pageSize);
  return mapAnonymous(pages * pageSize, { address, placement: 'exclusive', ...options });
}

/** One page each at the given pages of one place; the others are holes. */
export function scattered(...pages: number[]): { address: bigint; mappings: Mapping[] } {
  const address = nowhere((Math.max(...pages) + 1) * pageSize);
  const mappings = pages.map((page) =>
    mapAnonymous(pageSize, { address: address + BigInt(page) * PAGE, placement: 'exclusive' }),
  );
  return { address, mappings };
}
