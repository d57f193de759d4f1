// The options of reserve(): what they mean, and reading each of them once.
import { pageSize } from '../binding.js';
import { misuse } from '../errors.js';
import { addressOf, isExclusive } from '../options.js';
import { roundUp } from '../page.js';
import { bytes, options as read } from '../validate.js';

/** Of `reserve`. */
export interface ReserveOptions {
  /** What the address is a multiple of: a power of two. Default: a page. */
  alignment?: number | bigint;
  /** A page address that the kernel should take: a hint, or with `placement: 'exclusive'` the place. */
  address?: number | bigint;
  /** 'hint' (default) or 'exclusive': exactly at `address`, or EEXIST. Neither replaces anything. */
  placement?: 'hint' | 'exclusive';
  /** Pages on either side that nothing can ever be placed in. Default 0. */
  guardPages?: number;
}

export interface ReservePlan {
  /** Of the first guard page; 0 for anywhere. */
  readonly address: number;
  readonly exclusive: boolean;
  readonly alignment: number;
  /** Bytes in whole pages: of the range, of the guard on either side, and to find an alignment in. */
  readonly span: number;
  readonly guard: number;
  readonly slack: number;
}

const OPTIONS = ['alignment', 'address', 'placement', 'guardPages'] as const;

/** No address space is longer. */
const LONGEST = 2 ** 57;

/** A power of two, at least a page. */
export function alignmentOf(name: string, value: unknown): number {
  if (value === undefined) return pageSize;
  const alignment = bytes(name, value, 1);
  if (2 ** Math.round(Math.log2(alignment)) === alignment) return Math.max(alignment, pageSize);
  throw misuse('RANGE', `${name} must be a power of two; got ${String(alignment)}`, {
    argument: name,
  });
}

function guardOf(value: unknown): number {
  if (value === undefined) return 0;
  return bytes('options.guardPages', value) * pageSize;
}

export function reservePlan(length: unknown, options: unknown, name = 'length'): ReservePlan {
  const span = roundUp(bytes(name, length, 1), pageSize);
  const given = read('options', options, OPTIONS);
  const alignment = alignmentOf('options.alignment', given.alignment);
  const exclusive = isExclusive(given.placement);
  const address = addressOf(given, exclusive);
  const guard = guardOf(given.guardPages);
  const total = span + 2 * guard + alignment;
  if (total > LONGEST) {
    throw misuse('RANGE', `no address space has ${String(total)} bytes`, {
      argument: name,
      length: span,
    });
  }
  if (address % alignment !== 0 || (address > 0 && address <= guard)) {
    const expected = `a multiple of ${String(alignment)} with room for the guard pages below it`;
    throw misuse('RANGE', `options.address must be ${expected}; got 0x${address.toString(16)}`, {
      argument: 'options.address',
    });
  }
  const slack = exclusive ? 0 : alignment - pageSize;
  return {
    address: address === 0 ? 0 : address - guard,
    exclusive,
    alignment,
    span,
    guard,
    slack,
  };
}
