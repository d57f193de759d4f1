// What the cases share: C's calls in few words, descriptors that close themselves, addresses where
// nothing is mapped, and what the kernel has page by page. Knows no suite.
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import type { Case, Suite, Tools } from './case.js';
import { type Mapping, constants, memmap, pageSize, sys } from './tools.js';

/** Cases written as id -> what is run. */
export type Runs = Readonly<Record<string, Case['run']>>;

export function suiteOf(
  runs: Runs,
  listed: Partial<Pick<Suite, 'waiting' | 'inexpressible'>> = {},
): Suite {
  const cases = Object.entries(runs).map(([id, run]) => ({ id, run }));
  return { cases, waiting: listed.waiting ?? {}, inexpressible: listed.inexpressible ?? {} };
}

/** The same reason for several ids. */
export const all = (reason: string, ids: readonly string[]): Record<string, string> =>
  Object.fromEntries(ids.map((id) => [id, reason]));

const PROTECTIONS = [
  ['r', 'PROT_READ'],
  ['w', 'PROT_WRITE'],
  ['x', 'PROT_EXEC'],
] as const;

/** PROT_* by letters: 'rw', 'rx', '' for PROT_NONE. */
export const prot = (letters: string): number =>
  PROTECTIONS.reduce(
    (bits, [letter, name]) => bits | (letters.includes(letter) ? constants[name] : 0),
    0,
  );

/** MAP_* by words: 'SHARED', 'PRIVATE ANONYMOUS FIXED'. */
export const mapFlags = (words: string): number =>
  words.split(' ').reduce((bits, word) => bits | constants[`MAP_${word}` as 'MAP_SHARED'], 0);

/** The arguments of mmap. Defaults: a private anonymous page that can be read and written. */
export interface Call {
  readonly at?: number | bigint;
  readonly length?: number | bigint;
  readonly prot?: string;
  readonly flags?: string;
  readonly fd?: number;
  readonly offset?: number | bigint;
  readonly replace?: Mapping | readonly Mapping[];
}

export function mmap(call: Call = {}): Mapping {
  const { at = 0, length = pageSize, fd = -1, offset = 0, replace } = call;
  const flags = mapFlags(call.flags ?? 'PRIVATE ANONYMOUS');
  const options = replace === undefined ? undefined : { replace };
  return sys.mmap(at, length, prot(call.prot ?? 'rw'), flags, fd, offset, options);
}

export const EXCLUSIVE = 'PRIVATE ANONYMOUS FIXED_NOREPLACE';

// Far from where programs are loaded and where the kernel begins to map.
let candidate = 2n ** 36n;

/** The address of `pages` pages where nothing is mapped. Each call gives another one. */
export function freeAddress(pages: number): bigint {
  for (;;) {
    const at = candidate;
    candidate += 2n ** 24n;
    try {
      mmap({ at, length: pages * pageSize, prot: '', flags: EXCLUSIVE }).unmap();
      return at;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** Memory at a place of its own, with nothing mapped for `spare` pages behind it. */
export function alone(
  pages: number,
  { spare = 1, ...call }: Call & { spare?: number } = {},
): Mapping {
  const flags = `${call.flags ?? 'PRIVATE ANONYMOUS'} FIXED_NOREPLACE`;
  return mmap({ length: pages * pageSize, ...call, flags, at: freeAddress(pages + spare) });
}

/** The address of a page of a mapping, counted from its first. */
export const pageOf = ({ address }: Mapping, page: number): bigint =>
  address + BigInt(page * pageSize);

/** For each page from `address`: what the kernel prints of it ('rw-p'), or '' for a hole. */
export const modes = ({ smaps }: Tools, address: bigint, pages: number): string[] =>
  Array.from(
    { length: pages },
    (_, page) => smaps(address + BigInt(page * pageSize))['perms'] ?? '',
  );

/** The kernel keeps the page in memory. */
export const isLocked = ({ smaps }: Tools, address: bigint): boolean =>
  (smaps(address)['VmFlags'] ?? '').split(' ').includes('lo');

/**
 * The kernel cannot read the byte: where C would get a signal, `read` throws. The call is write(2)
 * where a sandbox refuses the other.
 */
export const cannotRead = (mapping: Mapping, offset = 0): void =>
  assert.throws(() => mapping.read(offset, 1), {
    code: 'EFAULT',
    syscall: /^(process_vm_readv|write)$/,
  });

/** Every byte of the range is `value`. The range defaults to the whole, or what follows `offset`. */
export function holds(
  mapping: Mapping,
  value: number | string,
  range: { offset?: number; length?: number } = {},
): void {
  const { offset = 0 } = range;
  const { length = mapping.length - offset } = range;
  const same = mapping.read(offset, length).equals(Buffer.alloc(length, value));
  assert.ok(same, `not all of ${length} bytes at ${offset} are ${value}`);
}

/** The registry and the kernel tell the same story. */
export const agrees = (): void => assert.deepEqual(memmap.registry.verify(), []);

/** The call does not throw, whatever else it may do. */
export const succeeds = (call: () => void): void => assert.doesNotThrow(call);

/** An open file that closes itself: `using file = opened(path, 'r+')`. */
export function opened(path: string, flags: string | number): Disposable & { readonly fd: number } {
  const fd = openSync(path, flags);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

export const SHARINGS = ['SHARED', 'PRIVATE'] as const;

/** A child that ended well, and what it printed as JSON. */
export async function answer(
  { child }: Tools,
  source: string,
  options?: Parameters<Tools['child']>[1],
): Promise<unknown> {
  const { code, signal, stdout, stderr } = await child(source, options);
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  return JSON.parse(stdout);
}
