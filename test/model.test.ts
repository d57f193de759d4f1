// Any sequence of the calls that move memory about, against a model of twelve pages that knows no more
// than what each call is documented to do. After each step the registry, the kernel's list, the bytes
// and the Buffers that were handed out are compared with it.

import fc from 'fast-check';
import {
  type Mapping,
  constants,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { Scratch } from './helpers/files.js';
import { modesOf, nowhere } from './helpers/kernel.js';
import { FIXED, NONE, PAGE, PLAIN, READ, RW, SHARED, bit } from './helpers/raw.js';

const PAGES = 12;
const scratch = new Scratch();
// Page n of the file is filled with 100 + n.
const path = scratch.file(
  Buffer.concat(Array.from({ length: PAGES }, (_, n) => Buffer.alloc(pageSize, 100 + n))),
);

afterAll(() => scratch.remove());

interface Page {
  byte: number;
  mode: string;
  /** Which call made it: a new one detaches the views of the old. */
  made: number;
}
interface Seen {
  readonly buffer: Buffer;
  readonly first: number;
  readonly made: number[];
}

class Arena {
  readonly base = nowhere(PAGES * pageSize);
  readonly pages: (Page | undefined)[] = Array<Page | undefined>(PAGES).fill(undefined);
  readonly views: Seen[] = [];
  /** Who is not held is unmapped by the garbage collector, which the model knows nothing of. */
  readonly held = new Set<Mapping>();
  #made = 0;

  at = (page: number): bigint => this.base + BigInt(page) * PAGE;

  owners = (first: number, count: number): Mapping[] =>
    registry.overlapping(this.at(first), count * pageSize) as Mapping[];

  fill(
    first: number,
    count: number,
    { mode, byte }: { mode: string; byte: (page: number) => number },
  ): void {
    this.#made++;
    for (let page = first; page < first + count; page++) {
      this.pages[page] = { byte: byte(page - first), mode, made: this.#made };
    }
  }

  owns = (first: number, count: number): boolean =>
    this.pages.slice(first, first + count).every((page) => page !== undefined);

  check(): void {
    for (const owner of registry.mappings()) this.held.add(owner);
    expect(registry.verify()).toEqual([]);
    const modes = modesOf(this.base, PAGES, pageSize);
    this.pages.forEach((page, index) => {
      const owner = registry.at(this.at(index)) as Mapping | undefined;
      expect(owner !== undefined).toBe(page !== undefined);
      // What was unmapped may stay as zeros while somebody could still be reading it.
      if (page === undefined || owner === undefined) return;
      expect(modes[index]).toBe(page.mode);
      if (!page.mode.startsWith('r')) return;
      const offset = Number(this.at(index) - owner.address);
      expect(owner.read(offset, 1)[0]).toBe(page.byte);
      expect(owner.read(offset + pageSize - 1, 1)[0]).toBe(page.byte);
    });
    for (const { buffer, first, made } of this.views) {
      if (buffer.length === 0) continue;
      made.forEach((call, index) => {
        const page = this.pages[first + index];
        expect([page?.made, buffer[index * pageSize]]).toEqual([call, page?.byte]);
      });
    }
  }

  clear(): void {
    for (const owner of registry.mappings()) owner.unmap();
    this.pages.fill(undefined);
  }
}

interface Step {
  readonly kind: keyof typeof kinds;
  readonly first: number;
  readonly count: number;
  readonly byte: number;
}

/** What is refused is refused with one of these, and must then have changed nothing. */
const refusals = new Set(['ERR_MEMMAP_FOREIGN', 'EEXIST', 'ENOMEM', 'EFAULT', 'EINVAL', 'EACCES']);

const kinds = {
  map(arena: Arena, { first, count }: Step) {
    mapAnonymous(count * pageSize, { address: arena.at(first), placement: 'exclusive' });
    arena.fill(first, count, { mode: 'rw-p', byte: () => 0 });
  },
  mapFile(arena: Arena, { first, count }: Step) {
    mapFileSync(path, {
      address: arena.at(first),
      placement: 'exclusive',
      offset: first * pageSize,
      length: count * pageSize,
    });
    arena.fill(first, count, { mode: 'r--s', byte: (page) => 100 + first + page });
  },
  fixed(arena: Arena, { first, count }: Step) {
    const replace = arena.owners(first, count);
    sys.mmap(arena.at(first), count * pageSize, RW, PLAIN | FIXED, -1, 0, { replace });
    arena.fill(first, count, { mode: 'rw-p', byte: () => 0 });
  },
  fixedShared(arena: Arena, { first, count }: Step) {
    const replace = arena.owners(first, count);
    const flags = SHARED | bit('MAP_ANONYMOUS') | FIXED;
    sys.mmap(arena.at(first), count * pageSize, READ, flags, -1, 0, { replace });
    arena.fill(first, count, { mode: 'r--s', byte: () => 0 });
  },
  munmap(arena: Arena, { first, count }: Step) {
    sys.munmap(arena.at(first), count * pageSize, { replace: arena.owners(first, count) });
    arena.pages.fill(undefined, first, first + count);
  },
  unmapOwner(arena: Arena, { first }: Step) {
    const owner = registry.at(arena.at(first)) as Mapping | undefined;
    if (owner === undefined) return;
    const start = Number(owner.address - arena.base) / pageSize;
    owner.unmap();
    arena.pages.fill(undefined, start, start + Math.ceil(owner.length / pageSize));
  },
  protect(arena: Arena, { first, count, byte }: Step) {
    if (!arena.owns(first, count)) return; // holes are what sys.test.ts is about
    const [bits, words] = (
      [
        [RW, 'rw-'],
        [READ, 'r--'],
        [NONE, '---'],
      ] as const
    )[byte % 3]!;
    // A file that was opened for reading cannot be made writable.
    const readers = arena.owners(first, count).some((owner) => owner.path !== undefined);
    if (bits === RW && readers) return;
    sys.mprotect(arena.at(first), count * pageSize, bits);
    for (const page of arena.pages.slice(first, first + count)) page!.mode = words + page!.mode[3]!;
  },
  write(arena: Arena, { first, byte }: Step) {
    const page = arena.pages[first];
    if (page?.mode.startsWith('rw') !== true) return;
    const owner = registry.at(arena.at(first)) as Mapping;
    owner.write(Number(arena.at(first) - owner.address), Buffer.alloc(pageSize, byte));
    page.byte = byte;
  },
  move(arena: Arena, { first, count, byte }: Step) {
    const to = byte % PAGES;
    if (to + count > PAGES) return;
    const modes = new Set(arena.pages.slice(first, first + count).map((page) => page?.mode));
    if (modes.size > 1) return; // kernels differ in whether they move several regions at once
    const flags = constants['MREMAP_MAYMOVE']! | constants['MREMAP_FIXED']!;
    const replace = arena.owners(to, count);
    const moving = arena.pages.slice(first, first + count);
    sys.mremap(arena.at(first), count * pageSize, count * pageSize, flags, arena.at(to), {
      replace,
    });
    arena.pages.fill(undefined, first, first + count);
    arena.fill(to, count, { mode: moving[0]!.mode, byte: (page) => moving[page]!.byte });
  },
  replace(arena: Arena, { first, byte }: Step) {
    const owner = registry.at(arena.at(first)) as Mapping | undefined;
    if (owner === undefined) return;
    const start = Number(owner.address - arena.base) / pageSize;
    const count = owner.length / pageSize;
    const from = byte % (PAGES - count + 1);
    const made = arena.pages.slice(start, start + count).map((page) => page!.made);
    owner.replace({ file: path, offset: from * pageSize, length: count * pageSize });
    arena.fill(start, count, { mode: 'r--s', byte: (page) => 100 + from + page });
    // Buffers stay, and show the new bytes.
    made.forEach((call, page) => (arena.pages[start + page]!.made = call));
  },
  shrink(arena: Arena, { first, count }: Step) {
    const owner = registry.at(arena.at(first)) as Mapping | undefined;
    if (owner === undefined) return;
    const start = Number(owner.address - arena.base) / pageSize;
    const before = owner.length / pageSize;
    const kept = Math.min(before, count);
    owner.resize(kept * pageSize);
    for (let page = start; page < start + before; page++) {
      const each = arena.pages[page]!;
      if (page < start + kept) each.made = -1 - page - each.made * PAGES;
      else arena.pages[page] = undefined;
    }
  },
  view(arena: Arena, { first, count }: Step) {
    const owner = registry.at(arena.at(first)) as Mapping | undefined;
    if (owner === undefined) return;
    const offset = Number(arena.at(first) - owner.address);
    const pages = Math.min(count, (owner.length - offset) / pageSize);
    const shown = arena.pages.slice(first, first + pages);
    if (!shown.every((page) => page!.mode.startsWith('r'))) return;
    const buffer = owner.view(offset, pages * pageSize);
    arena.views.push({ buffer, first, made: shown.map((page) => page!.made) });
  },
};

const names = Object.keys(kinds) as (keyof typeof kinds)[];
const step = fc
  .record({
    kind: fc.constantFrom(...names, 'map', 'map', 'move', 'move', 'munmap'),
    first: fc.nat({ max: PAGES - 1 }),
    count: fc.integer({ min: 1, max: 5 }),
    byte: fc.integer({ min: 1, max: 99 }),
  })
  .map((each) => ({ ...each, count: Math.min(each.count, PAGES - each.first) }));

/** False when the call was refused. */
function attempt(arena: Arena, each: Step): boolean {
  try {
    kinds[each.kind](arena, each);
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined || !refusals.has(code)) throw error;
    return false;
  }
}

it('memory is where the model says, whatever was done to it', () => {
  let done = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), (sequence) => {
      const arena = new Arena();
      try {
        for (const each of sequence) {
          if (attempt(arena, each)) done++;
          arena.check();
        }
      } finally {
        arena.clear();
      }
    }),
    { numRuns: 60 },
  );
  expect(done).toBeGreaterThan(200);
});
