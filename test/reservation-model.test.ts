// Any sequence of calls that place things in a reservation and take them away, against a model of twelve
// pages. After each step the layout, the kernel's list, the bytes and the Buffers that were handed out
// are compared with it: above all there must never be a hole.

import fc from 'fast-check';
import {
  type Mapping,
  type Reservation,
  mapAnonymous,
  pageSize,
  registry,
  reserve,
  sys,
} from '../lib/index.js';
import { Scratch } from './helpers/files.js';
import { modesOf } from './helpers/kernel.js';
import { FIXED, NONE, PAGE, PLAIN, READ } from './helpers/raw.js';

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
  /** Which call put it there. */
  readonly made: number;
}

interface Seen {
  readonly buffer: Buffer;
  readonly first: number;
  readonly pages: number;
  /** A mapping's own views are about contents, the reservation's about addresses. */
  readonly isSpan: boolean;
  gone: boolean;
}

class Model {
  readonly r: Reservation = reserve(PAGES * pageSize, { guardPages: 1 });
  readonly pages: (Page | undefined)[] = Array<Page | undefined>(PAGES).fill(undefined);
  /** Pages of mappings that somebody could still be reading: they may stay as zeros for a while. */
  readonly shown = new Set<number>();
  readonly views: Seen[] = [];
  #made = 0;

  at = (page: number): bigint => this.r.address + BigInt(page) * PAGE;

  ownerOf = (page: number): Mapping | undefined =>
    registry.mappings().find((each) => {
      const [start, end] = [each.address, each.address + BigInt(each.length)];
      return start <= this.at(page) && this.at(page) < end;
    });

  ownersOf = (first: number, count: number): Mapping[] => {
    const all = Array.from({ length: count }, (_, index) => this.ownerOf(first + index));
    return [...new Set(all.filter((owner) => owner !== undefined))];
  };

  isVacant = (first: number, count: number): boolean =>
    this.pages.slice(first, first + count).every((page) => page === undefined);

  put(first: number, count: number, mode: string, byte: (page: number) => number): void {
    this.#made++;
    this.#lose(first, count, (view) => !view.isSpan || !mode.startsWith('r'));
    for (let page = first; page < first + count; page++) {
      this.pages[page] = { byte: byte(page), mode, made: this.#made };
    }
    const over = [...this.shown].some((page) => first <= page && page < first + count);
    if (over) this.#markShown(first, count);
  }

  #markShown(first: number, count: number): void {
    const made = new Set(this.pages.slice(first, first + count).map((page) => page?.made));
    this.pages.forEach((page, index) => {
      if (page !== undefined && made.has(page.made)) this.shown.add(index);
    });
  }

  remove(first: number, count: number): void {
    // What is vacant already is left alone, but no view lies over it.
    this.#lose(first, count, () => true);
    this.pages.fill(undefined, first, first + count);
  }

  hide(first: number, count: number): void {
    this.#lose(first, count, () => true);
  }

  #lose(first: number, count: number, dies: (view: Seen) => boolean): void {
    for (const view of this.views) {
      const touches = view.first < first + count && first < view.first + view.pages;
      if (touches && dies(view)) view.gone = true;
    }
  }

  show(buffer: Buffer, first: number, pages: number, isSpan: boolean): void {
    this.views.push({ buffer, first, pages, isSpan, gone: false });
    this.#markShown(first, pages);
  }

  check(): void {
    expect(registry.verify()).toEqual([]);
    this.#checkKernel();
    this.#checkLayout();
    this.pages.forEach((page, index) => {
      if (page?.mode.startsWith('r') !== true) return;
      const owner = this.ownerOf(index)!;
      const offset = Number(this.at(index) - owner.address);
      const bytes = [owner.read(offset, 1)[0], owner.read(offset + pageSize - 1, 1)[0]];
      expect(bytes).toEqual([page.byte, page.byte]);
    });
    for (const { buffer, first, pages, gone } of this.views) {
      expect([first, buffer.length]).toEqual([first, gone ? 0 : pages * pageSize]);
      if (gone) continue;
      const bytes = Array.from({ length: pages }, (_, index) => buffer[index * pageSize]);
      expect(bytes).toEqual(this.pages.slice(first, first + pages).map((page) => page?.byte));
    }
  }

  #checkKernel(): void {
    const [below, ...modes] = modesOf(this.at(-1), PAGES + 2, pageSize);
    expect([below, modes.pop()]).toEqual(['---p', '---p']);
    modes.forEach((mode, index) => {
      const expected = this.pages[index]?.mode;
      if (expected !== undefined) expect([index, mode]).toEqual([index, expected]);
      else if (this.shown.has(index)) expect(['---p', 'r--p', 'rw-p']).toContain(mode);
      else expect([index, mode]).toEqual([index, '---p']);
    });
  }

  #checkLayout(): void {
    const expected: [number, number, number | undefined][] = [];
    this.pages.forEach((page, index) => {
      const last = expected.at(-1);
      if (last !== undefined && index > 0 && last[2] === page?.made) last[1]++;
      else expected.push([index, 1, page?.made]);
    });
    const found = this.r.layout().map(({ offset, length, mapping }) => {
      const first = offset / pageSize;
      expect(mapping).toBe(this.ownerOf(first));
      return [first, length / pageSize, this.pages[first]?.made];
    });
    expect(found).toEqual(expected);
  }
}

interface Step {
  readonly kind: keyof typeof kinds;
  readonly first: number;
  readonly count: number;
  readonly byte: number;
}

const kinds = {
  place(model: Model, { first, count }: Step) {
    const replace = model.ownersOf(first, count);
    model.r.place(first * pageSize, { anonymous: count * pageSize }, { replace });
    model.put(first, count, 'rw-p', () => 0);
  },
  placeFile(model: Model, { first, count, byte }: Step) {
    const replace = model.ownersOf(first, count);
    const from = byte % (PAGES - count + 1);
    const source = { file: path, offset: from * pageSize, length: count * pageSize };
    model.r.place(first * pageSize, source, { replace });
    model.put(first, count, 'r--s', (page) => 100 + from + page - first);
  },
  placeUnnamed(model: Model, { first, count }: Step) {
    model.r.place(first * pageSize, { anonymous: count * pageSize });
    model.put(first, count, 'rw-p', () => 0);
  },
  placeAll(model: Model, { first, count, byte }: Step) {
    const second = first + count;
    const pieces = [
      { offset: second * pageSize, source: { anonymous: pageSize } },
      {
        offset: first * pageSize,
        source: { file: path, length: count * pageSize, access: 'copy-on-write' },
      },
    ] as const;
    model.r.placeAll(byte % 2 === 0 ? pieces : pieces.toReversed());
    model.put(second, 1, 'rw-p', () => 0);
    model.put(first, count, 'rw-p', (page) => 100 + page - first);
  },
  vacate(model: Model, { first, count }: Step) {
    model.r.vacate(first * pageSize, count * pageSize);
    model.remove(first, count);
  },
  unmap(model: Model, { first }: Step) {
    const owner = model.ownerOf(first);
    if (owner === undefined) return;
    const start = Number(owner.address - model.r.address) / pageSize;
    const { length } = owner;
    owner.unmap();
    model.remove(start, length / pageSize);
  },
  munmap(model: Model, { first, count }: Step) {
    const replace = model.ownersOf(first, count);
    sys.munmap(model.at(first), count * pageSize, { replace });
    model.remove(first, count);
  },
  fixed(model: Model, { first, count, byte }: Step) {
    const replace = [model.r, ...model.ownersOf(first, count)];
    const [bits, mode] = byte % 3 === 0 ? ([NONE, '---p'] as const) : ([READ, 'r--p'] as const);
    sys.mmap(model.at(first), count * pageSize, bits, PLAIN | FIXED, -1, 0, { replace });
    model.put(first, count, mode, () => 0);
  },
  replaceContents(model: Model, { first, byte }: Step) {
    const owner = model.ownerOf(first);
    if (owner === undefined) return;
    const start = Number(owner.address - model.r.address) / pageSize;
    const count = owner.length / pageSize;
    const from = byte % (PAGES - count + 1);
    owner.replace({ file: path, offset: from * pageSize, length: count * pageSize });
    // Buffers stay, and show the new bytes.
    for (let page = start; page < start + count; page++) {
      Object.assign(model.pages[page]!, { byte: 100 + from + page - start, mode: 'r--s' });
    }
  },
  shrink(model: Model, { first, count }: Step) {
    const owner = model.ownerOf(first);
    if (owner === undefined) return;
    const start = Number(owner.address - model.r.address) / pageSize;
    const before = owner.length / pageSize;
    const kept = Math.min(before, count);
    owner.resize(kept * pageSize);
    model.hide(start, before);
    model.remove(start + kept, before - kept);
  },
  protect(model: Model, { first, byte }: Step) {
    const owner = model.ownerOf(first);
    const page = model.pages[first];
    if (owner === undefined || page === undefined) return;
    const words = byte % 2 === 0 ? 'none' : 'read';
    owner.protect(words, { offset: Number(model.at(first) - owner.address), length: pageSize });
    page.mode = (byte % 2 === 0 ? '---' : 'r--') + page.mode.slice(3);
    if (byte % 2 === 0) model.hide(first, 1);
  },
  write(model: Model, { first, byte }: Step) {
    const page = model.pages[first];
    if (page?.mode !== 'rw-p') return;
    const owner = model.ownerOf(first)!;
    owner.write(Number(model.at(first) - owner.address), Buffer.alloc(pageSize, byte));
    page.byte = byte;
  },
  view(model: Model, { first, count }: Step) {
    const buffer = model.r.view(first * pageSize, count * pageSize);
    model.show(buffer, first, count, true);
  },
  viewOfMapping(model: Model, { first }: Step) {
    const owner = model.ownerOf(first);
    if (owner === undefined) return;
    const buffer = owner.view(Number(model.at(first) - owner.address), pageSize);
    model.show(buffer, first, 1, false);
  },
  elsewhere() {
    // Whatever the kernel finds room for must not be in the reservation.
    mapAnonymous(pageSize).unmap();
  },
};

/** What a call may be refused for, and the model knows when. */
function refusalOf(model: Model, { kind, first, count }: Step): string | undefined {
  const pages = model.pages.slice(first, first + count);
  switch (kind) {
    case 'placeUnnamed':
      return model.isVacant(first, count) ? undefined : 'ERR_MEMMAP_OVERLAP';
    case 'placeAll':
      if (first + count >= PAGES) return 'ERR_MEMMAP_RANGE';
      return model.isVacant(first, count + 1) ? undefined : 'ERR_MEMMAP_OVERLAP';
    case 'munmap':
      return pages.some((page) => page === undefined) ? 'ERR_MEMMAP_FOREIGN' : undefined;
    case 'view':
      return pages.every((page) => page?.mode.startsWith('r'))
        ? undefined
        : 'ERR_MEMMAP_UNSUPPORTED';
    case 'viewOfMapping':
      return pages[0]?.mode.startsWith('-') === true ? 'ERR_MEMMAP_UNSUPPORTED' : undefined;
    default:
      return undefined;
  }
}

/**
 * What somebody may still be reading, through a Buffer that is gone, is not made unreadable. Whether
 * that Buffer has been collected is nobody's to say.
 */
function mayBeBusy(model: Model, { kind, first, count, byte }: Step): boolean {
  if (kind === 'protect') return byte % 2 === 0 && model.shown.has(first);
  const isShown = [...model.shown].some((page) => first <= page && page < first + count);
  return kind === 'fixed' && byte % 3 === 0 && isShown;
}

const names = Object.keys(kinds) as (keyof typeof kinds)[];
const step = fc
  .record({
    kind: fc.constantFrom(...names, 'place', 'placeFile', 'placeAll', 'vacate', 'view', 'view'),
    first: fc.nat({ max: PAGES - 1 }),
    count: fc.integer({ min: 1, max: 4 }),
    byte: fc.integer({ min: 1, max: 99 }),
  })
  .map((each) => ({ ...each, count: Math.min(each.count, PAGES - each.first) }));

it('a reservation has in it what the model says, whatever was done to it', () => {
  const done = new Map<string, number>();
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), (sequence) => {
      const model = new Model();
      try {
        for (const each of sequence) {
          const busy = mayBeBusy(model, each) ? 'ERR_MEMMAP_BUSY' : undefined;
          const expected = refusalOf(model, each);
          let code: unknown;
          try {
            kinds[each.kind](model, each);
            done.set(each.kind, (done.get(each.kind) ?? 0) + 1);
          } catch (error) {
            code = (error as { code?: string }).code ?? error;
          }
          if (code === undefined || code !== busy) {
            expect([each.kind, code]).toEqual([each.kind, expected]);
          }
          model.check();
        }
      } finally {
        model.r.release();
      }
      expect(model.views.map(({ buffer }) => buffer.length)).toEqual(model.views.map(() => 0));
      expect(registry.mappings()).toEqual([]);
    }),
    { numRuns: 60 },
  );
  // A kind that never succeeds tests nothing.
  expect(names.filter((name) => (done.get(name) ?? 0) < 3)).toEqual([]);
});
