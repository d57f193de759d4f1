import fc from 'fast-check';
import { Registry, type Entry, foreign, hex, inUse } from '../lib/registry.js';
import { refused } from './helpers/refusals.js';

interface Item extends Entry<string> {
  busy: string | undefined;
}

const item = (start: number, end: number, owner?: string): Item => ({
  start,
  end,
  owner,
  busy: undefined,
});

function filled(...items: Item[]): Registry<string, Item> {
  const registry = new Registry<string, Item>();
  for (const each of items) registry.insert(each);
  return registry;
}

describe('the naming rule', () => {
  const a = item(100, 200, 'a');
  const b = item(200, 300, 'b');
  const registry = filled(a, b, item(400, 500, 'c'));

  it('gives the entries when every page is owned and every owner named', () => {
    expect(registry.mayOverwrite(100, 300, ['b', 'a'])).toEqual([a, b]);
    expect(registry.mayOverwrite(150, 160, ['a'])).toEqual([a]);
  });

  it('takes more names than are needed', () => {
    expect(registry.mayOverwrite(100, 200, ['a', 'b', 'c'])).toEqual([a]);
  });

  it('is ERR_MEMMAP_OVERLAP with the owners that were not named', () => {
    const error = refused(() => registry.mayOverwrite(150, 250, ['a']));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({
      code: 'ERR_MEMMAP_OVERLAP',
      conflicts: ['b'],
      address: 150n,
      length: 100,
    });
    expect(error.message).toContain('0x96-0xfa');
    expect(error.message).toContain('replace: error.conflicts');
    expect(refused(() => registry.mayOverwrite(150, 250, [])).conflicts).toEqual(['a', 'b']);
  });

  it.each([
    ['before', 50, 150, 50n, 50],
    ['behind', 250, 350, 300n, 50],
    ['between', 200, 450, 300n, 100],
    ['everywhere', 600, 700, 600n, 100],
  ])(
    'is ERR_MEMMAP_FOREIGN with a page %s that is not owned',
    (_where, start, end, address, length) => {
      const error = refused(() => registry.mayOverwrite(start, end, ['a', 'b', 'c']));
      expect(error).toMatchObject({ code: 'ERR_MEMMAP_FOREIGN', address, length });
    },
  );

  it('is ERR_MEMMAP_BUSY while an owner is in use', () => {
    const busy = item(700, 800, 'd');
    busy.busy = 'it is pinned';
    const error = refused(() => filled(busy).mayOverwrite(700, 800, ['d']));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.code).toBe('ERR_MEMMAP_BUSY');
    expect(error.message).toContain('it is pinned');
  });

  it('never lets an entry go whose owner was collected, for nobody can name it', () => {
    const error = refused(() => filled(item(0, 10)).mayOverwrite(0, 10, []));
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_OVERLAP', conflicts: [] });
  });
});

it('lists only owners that can still be reached', () => {
  const registry = filled(item(0, 10, 'a'), item(10, 20), item(20, 30, 'b'));
  expect(registry.ownersIn(0, 30)).toEqual(['a', 'b']);
  expect(registry.ownersIn(10, 20)).toEqual([]);
});

it('finds gaps', () => {
  const registry = filled(item(10, 20, 'a'), item(30, 40, 'b'));
  expect(registry.gaps(0, 50)).toEqual([
    { start: 0, end: 10 },
    { start: 20, end: 30 },
    { start: 40, end: 50 },
  ]);
  expect(registry.gaps(12, 18)).toEqual([]);
  expect(registry.gaps(20, 30)).toEqual([{ start: 20, end: 30 }]);
  expect(registry.gaps(15, 35)).toEqual([{ start: 20, end: 30 }]);
});

const layouts = fc.uniqueArray(fc.nat({ max: 60 }), { maxLength: 40 });

it('gaps and entries cover every query exactly once', () => {
  fc.assert(
    fc.property(layouts, fc.nat({ max: 60 }), fc.nat({ max: 20 }), (pages, start, length) => {
      const registry = filled(...pages.map((page) => item(page, page + 1, String(page))));
      const end = start + length;
      const covered = [...registry.entriesIn(start, end), ...registry.gaps(start, end)].flatMap(
        (part) => {
          const first = Math.max(start, part.start);
          return Array.from({ length: Math.min(end, part.end) - first }, (_, i) => first + i);
        },
      );
      const wanted = Array.from({ length }, (_, i) => start + i);
      expect(covered.sort((a, b) => a - b)).toEqual(wanted);
    }),
  );
});

it('removes an entry by itself', () => {
  const entry = item(0, 10, 'a');
  const registry = filled(entry);
  expect(registry.remove(entry)).toBe(true);
  expect([registry.size, registry.entryAt(5), [...registry.entries()]]).toEqual([0, undefined, []]);
});

it('writes addresses as C does', () => {
  expect([hex(0x7f0000001000), hex(0x7f0000001000n)]).toEqual(['0x7f0000001000', '0x7f0000001000']);
});

it('says why memory is not touched', () => {
  expect(foreign(0x1000, 0x2000, 'is of V8')).toMatchObject({
    code: 'ERR_MEMMAP_FOREIGN',
    address: 0x1000n,
    length: 0x1000,
  });
  expect(inUse('it is pinned').message).toContain('it is pinned');
});
