// The kernel's own books about this process: what it maps where, as /proc/self/smaps says.

import { readFileSync } from 'node:fs';

export interface KernelRegion {
  readonly start: bigint;
  readonly end: bigint;
  /** Such as 'rw-p'. */
  readonly mode: string;
  readonly offset: number;
  readonly inode: number;
  readonly path: string;
  /** The two-letter words of VmFlags. */
  readonly flags: ReadonlySet<string>;
  /** Sizes in KiB, by name: Rss, Private_Dirty, Locked. */
  readonly sizes: Readonly<Record<string, number>>;
}

const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ (\d+) *(.*)$/;

function parse(block: readonly string[]): KernelRegion {
  const [, start = '', end = '', mode = '', offset = '', inode = '', path = ''] =
    HEADER.exec(block[0] ?? '') ?? [];
  const sizes: Record<string, number> = {};
  let flags: string[] = [];
  for (const line of block.slice(1)) {
    const [name = '', rest = ''] = line.split(/:\s+/);
    if (name === 'VmFlags') flags = rest.trim().split(' ');
    else if (rest.endsWith('kB')) sizes[name] = parseInt(rest, 10);
  }
  return {
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    mode,
    offset: parseInt(offset, 16),
    inode: Number(inode),
    path,
    flags: new Set(flags),
    sizes,
  };
}

/** Every region of this process, ascending; without flags and sizes from maps, which is much faster. */
export function kernelRegions(list: 'smaps' | 'maps' = 'smaps'): KernelRegion[] {
  const blocks: string[][] = [];
  for (const line of readFileSync(`/proc/self/${list}`, 'utf8').split('\n')) {
    if (HEADER.test(line)) blocks.push([line]);
    else blocks.at(-1)?.push(line);
  }
  return blocks.map(parse);
}

/** The region that holds an address, if the kernel has one. */
export const findRegion = (address: bigint): KernelRegion | undefined =>
  kernelRegions().find(({ start, end }) => start <= address && address < end);

/** The region that holds an address. */
export function regionAt(address: bigint): KernelRegion {
  const found = findRegion(address);
  if (found === undefined) throw new Error(`nothing is mapped at 0x${address.toString(16)}`);
  return found;
}

/** This program's own code: memory of nobody who came through memmap. */
export function codeRegion(): KernelRegion {
  const found = kernelRegions().find(({ mode }) => mode === 'r-xp');
  if (found === undefined) throw new Error('the kernel lists no code');
  return found;
}

/** 'rw-p' and the like for each page of a range, '----' where nobody has mapped one. */
export function modesOf(address: bigint, pages: number, pageSize: number): string[] {
  const regions = kernelRegions('maps');
  return Array.from({ length: pages }, (_, page) => {
    const at = address + BigInt(page * pageSize);
    return regions.find(({ start, end }) => start <= at && at < end)?.mode ?? '----';
  });
}

let next = 0x10_0000_0000n;

/** An address at which nobody has mapped `length` bytes, where the kernel puts nothing unasked. */
export function nowhere(length: number): bigint {
  const size = BigInt(length);
  const taken = kernelRegions('maps');
  for (;;) {
    const start = next;
    next += 0x1000_0000n;
    if (!taken.some((region) => region.start < start + size && start < region.end)) return start;
  }
}
