// Any sequence of calls that map in an arena and unmap: what it says of itself is what the registry and
// the kernel say, no two mappings share a page, and no page of it is ever a hole.

import fc from 'fast-check';
import {
  type Arena,
  type Mapping,
  addressSpace,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { Scratch } from './helpers/files.js';
import { modesOf } from './helpers/kernel.js';
import { FIXED, PAGE, PLAIN, READ } from './helpers/raw.js';
import { refused } from './helpers/refusals.js';

const PAGES = 40;
const scratch = new Scratch();
const path = scratch.file(Buffer.alloc(8 * pageSize, 'f'));

afterAll(() => scratch.remove());

interface Step {
  readonly kind: keyof typeof kinds;
  readonly pages: number;
  /** Which of the live mappings, and how much of it. */
  readonly pick: number;
  readonly lifetime: 'long' | 'short';
}

interface Gap {
  readonly start: number;
  readonly pages: number;
}

class Model {
  readonly arena: Arena;
  readonly alignment: number;
  /** Who is not held is unmapped by the garbage collector, which the model knows nothing of. */
  readonly held = new Set<Mapping>();

  constructor(policy: Arena['policy'], alignment: number) {
    this.alignment = alignment;
    this.arena = addressSpace.arena({ size: PAGES * pageSize, policy, alignment });
  }

  /** Live mappings, ascending, as pages of the arena. */
  live(): (Gap & { mapping: Mapping })[] {
    return registry.mappings().map((mapping) => ({
      mapping,
      start: Number(mapping.address - this.arena.address) / pageSize,
      pages: Math.ceil(mapping.length / pageSize),
    }));
  }

  pick(number: number): Mapping | undefined {
    const live = registry.mappings();
    return live[number % Math.max(1, live.length)];
  }

  gaps(): Gap[] {
    const found: Gap[] = [];
    let at = 0;
    for (const { start, pages } of [...this.live(), { start: PAGES, pages: 0 }]) {
      if (start > at) found.push({ start: at, pages: start - at });
      at = start + pages;
    }
    return found;
  }

  /** Whether so many pages fit into a gap at an aligned place. */
  fits(pages: number): boolean {
    const step = this.alignment / pageSize;
    return this.gaps().some((gap) => {
      const first = Math.ceil(gap.start / step) * step;
      return first + pages <= gap.start + gap.pages;
    });
  }

  check(): void {
    const { arena } = this;
    for (const mapping of registry.mappings()) this.held.add(mapping);
    const live = this.live();
    let at = 0;
    for (const { start, pages } of live) {
      expect([start >= at, start + pages <= PAGES]).toEqual([true, true]);
      at = start + pages;
    }
    const used = live.reduce((sum, { pages }) => sum + pages, 0) * pageSize;
    const stats = arena.stats();
    expect([stats.used, stats.mappings]).toEqual([used, live.length]);
    expect(stats.used + stats.free + stats.cooling).toBe(stats.size);
    if (stats.cooling === 0) {
      const gaps = this.gaps();
      const largest = Math.max(0, ...gaps.map(({ pages }) => pages)) * pageSize;
      expect([stats.largestFree, stats.freeRanges]).toEqual([largest, gaps.length]);
    }
    const modes = modesOf(arena.address, PAGES, pageSize);
    expect(modes).not.toContain('----');
    expect(registry.verify()).toEqual([]);
  }
}

/** What is mapped says whose it is, in its first bytes. */
function sign(mapping: Mapping): void {
  mapping.write(0, mapping.address.toString(16));
}

function expectSigned(mapping: Mapping): void {
  const text = mapping.address.toString(16);
  expect(mapping.read(0, text.length).toString()).toBe(text);
}

function mapIn(model: Model, { pages, pick }: Step, map: () => Mapping): void {
  const { arena, alignment } = model;
  const { cooling, largestFree } = arena.stats();
  const aligned = alignment === pageSize;
  const surely = cooling === 0 ? model.fits(pages) : aligned && pages * pageSize <= largestFree;
  if (surely) {
    expect(map().address % BigInt(alignment)).toBe(0n);
    return;
  }
  // Being refused takes a collection of garbage.
  if (pick > 0 || (cooling > 0 && !aligned)) return;
  expect(refused(map)).toMatchObject({ code: 'ERR_MEMMAP_NO_ROOM', largestFree });
}

const kinds = {
  memory(model: Model, step: Step) {
    const { arena } = model;
    const { pages, lifetime } = step;
    mapIn(model, step, () => {
      const mapping = mapAnonymous(pages * pageSize, { arena, lifetime });
      expect(mapping.read(0, 4)).toEqual(Buffer.alloc(4));
      sign(mapping);
      return mapping;
    });
  },
  file(model: Model, step: Step) {
    const { arena } = model;
    const { pages, lifetime } = step;
    const length = pages * pageSize - 10;
    mapIn(model, step, () => {
      const access = 'copy-on-write' as const;
      const mapping = mapFileSync(path, { arena, lifetime, length, access });
      expect(mapping.read(length - 1, 1).toString()).toBe('f');
      sign(mapping);
      return mapping;
    });
  },
  unmap(model: Model, { pick }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined) return;
    expectSigned(mapping);
    mapping.unmap();
  },
  viewThenUnmap(model: Model, { pick, pages }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined || pages > 1) return;
    const { buffer } = mapping;
    mapping.unmap();
    expect(buffer).toHaveLength(0);
  },
  munmap(model: Model, { pick, pages }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined || mapping.length < 2 * pageSize) return;
    const all = Math.ceil(mapping.length / pageSize);
    const first = 1 + (pages % (all - 1));
    const count = Math.min(1 + (pick % 3), all - first);
    const at = mapping.address + BigInt(first) * PAGE;
    sys.munmap(at, count * pageSize, { replace: mapping });
    expect(mapping.state).toBe('unmapped');
    for (const part of mapping.parts) sign(part);
  },
  shrink(model: Model, { pick, pages }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined || mapping.length <= pages * pageSize) return;
    mapping.resize(pages * pageSize);
    expectSigned(mapping);
  },
  grow(model: Model, { pick }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined) return;
    const longer = mapping.length + PAGES * pageSize;
    // The file is shorter, or there is no growing in an arena; either way it stays.
    const { code } = refused(() => {
      mapping.resize(longer);
    });
    expect(['ERR_MEMMAP_UNSUPPORTED', 'ERR_MEMMAP_RANGE']).toContain(code);
    expectSigned(mapping);
  },
  overlay(model: Model, { pick }: Step) {
    const mapping = model.pick(pick);
    if (mapping === undefined) return;
    const { address } = mapping;
    const kind = PLAIN | FIXED;
    const young = sys.mmap(address, pageSize, READ, kind, -1, 0, { replace: mapping });
    young.protect('read-write');
    sign(young);
    for (const part of mapping.parts) sign(part);
  },
  fails(model: Model) {
    const { arena } = model;
    const options = { arena, length: pageSize };
    if (!model.fits(1) || arena.stats().cooling > 0) return;
    expect(refused(() => mapFileSync('/dev/null', options)).code).toBe('ENODEV');
  },
};

const names = Object.keys(kinds) as (keyof typeof kinds)[];
const stepArbitrary = fc.record<Step>({
  kind: fc.constantFrom(...names, 'memory', 'memory', 'memory', 'file', 'file', 'unmap', 'unmap'),
  pages: fc.integer({ min: 1, max: 8 }),
  pick: fc.nat({ max: 199 }),
  lifetime: fc.constantFrom('long', 'short'),
});

describe.each(['first-fit', 'best-fit', 'top-down', 'segregated'] as const)('%s', (policy) => {
  it.each([1, 4])('is what it says it is; alignment: %d pages', (alignment) => {
    fc.assert(
      fc.property(
        fc.array(stepArbitrary, { minLength: 5, maxLength: 60, size: 'max' }),
        (sequence) => {
          const model = new Model(policy, alignment * pageSize);
          try {
            for (const each of sequence) {
              kinds[each.kind](model, each);
              model.check();
            }
          } finally {
            model.arena.release();
          }
          expect(registry.mappings()).toEqual([]);
        },
      ),
      { numRuns: 12 },
    );
  });
});
