import fs from 'node:fs';
import { mapAnonymous, mapFileSync, pageSize, registry, sys } from '../lib/index.js';
import { Scratch, patterned } from './helpers/files.js';
import { codeRegion, findRegion, modesOf, nowhere, regionAt } from './helpers/kernel.js';
import { FIXED, PAGE, PLAIN, READ, RW, SHARED, placed, scattered } from './helpers/raw.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);
const path = scratch.file(bytes);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

it('the four calls that started it all', () => {
  const address = 0x50000000;
  expect(findRegion(BigInt(address))).toBeUndefined();

  // A hint is taken where nothing is.
  const first = sys.mmap(address, 2 * pageSize, RW, PLAIN, -1, 0);
  expect(first.address).toBe(BigInt(address));
  first.buffer.write('first');

  // MAP_FIXED would kill it: the caller has to say so.
  const error = refused(() => sys.mmap(address, 2 * pageSize, RW, PLAIN | FIXED, -1, 0));
  expect(error).toBeInstanceOf(RangeError);
  expect(error).toMatchObject({
    ...memmapSays('OVERLAP'),
    address: BigInt(address),
    length: 2 * pageSize,
  });
  expect(error.conflicts).toHaveLength(1);
  expect(error.conflicts?.[0]).toBe(first);
  expect(first.buffer.toString('latin1', 0, 5)).toBe('first');

  // The hint again goes elsewhere.
  const second = sys.mmap(address, 2 * pageSize, RW, PLAIN, -1, 0);
  expect(second.address).not.toBe(first.address);

  // MAP_FIXED again, with the name of what dies.
  const view = first.buffer;
  const third = sys.mmap(address, 2 * pageSize, RW, PLAIN | FIXED, -1, 0, { replace: first });
  expect([third.address, third.state, first.state]).toEqual([
    BigInt(address),
    'mapped',
    'replaced',
  ]);
  expect([view.length, third.buffer[0], second.state]).toEqual([0, 0, 'mapped']);
  expect(refused(() => first.buffer)).toMatchObject(memmapSays('UNMAPPED'));
  expect(registry.at(address)).toBe(third);
  expect(regionAt(BigInt(address)).mode).toBe('rw-p');
});

describe('MAP_FIXED', () => {
  it('takes the names that the refusal gives', () => {
    const { address, mappings } = scattered(0, 1, 2);
    const over = (replace: typeof mappings) =>
      sys.mmap(address, 3 * pageSize, READ, PLAIN | FIXED, -1, 0, { replace });
    const error = refused(() => over([mappings[1]!]));
    expect(error.conflicts).toHaveLength(2);
    const m = over([...mappings, placed(1)]); // one name too many does no harm
    expect(mappings.map(({ state }) => state)).toEqual(['replaced', 'replaced', 'replaced']);
    expect(modesOf(address, 3, pageSize)).toEqual(['r--p', 'r--p', 'r--p']);
    expect(registry.overlapping(address, 3 * pageSize)).toEqual([m]);
  });

  it('over a part leaves the rest as parts, and views over the rest alive', () => {
    const m = placed(3);
    const [left, middle, right] = [0, 1, 2].map((page) => m.view(page * pageSize, 10)) as [
      Buffer,
      Buffer,
      Buffer,
    ];
    left.write('left');
    const file = sys.mmap(
      m.address + PAGE,
      pageSize,
      READ,
      SHARED | FIXED,
      fs.openSync(path, 'r'),
      PAGE,
      { replace: m },
    );
    expect([left.toString('latin1', 0, 4), middle.length, right.length]).toEqual(['left', 0, 10]);
    expect(file.buffer.equals(bytes.subarray(pageSize, 2 * pageSize))).toBe(true);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['rw-p', 'r--s', 'rw-p']);
  });

  it('over the edge between two, and over the end of one', () => {
    const { address, mappings } = scattered(0, 1);
    const [a, b] = mappings;
    sys.mmap(address, 2 * pageSize, RW, PLAIN | FIXED, -1, 0, { replace: mappings });
    expect([a!.state, a!.parts, b!.parts]).toEqual(['replaced', [], []]);
  });

  it.each<[string, () => [bigint, number, ReturnType<typeof scattered>['mappings']]]>([
    ['where nothing is', () => [nowhere(1), pageSize, []]],
    [
      'over the gap between two',
      () => {
        const { address, mappings } = scattered(0, 2);
        return [address, 3 * pageSize, mappings];
      },
    ],
    [
      'past the end of one',
      () => {
        const { address, mappings } = scattered(0);
        return [address, 2 * pageSize, mappings];
      },
    ],
    ['over the code of this program', () => [codeRegion().start, pageSize, []]],
    [
      'over what was unmapped',
      () => {
        const m = placed(1);
        m.unmap();
        return [m.address, pageSize, [m]];
      },
    ],
    [
      'over what was unmapped and had a view',
      () => {
        const m = placed(1);
        expect(m.buffer[0]).toBe(0);
        m.unmap();
        return [m.address, pageSize, [m]];
      },
    ],
  ])('%s is ERR_MEMMAP_FOREIGN, and nothing is called', (_where, make) => {
    const [address, length, replace] = make();
    const before = findRegion(address)?.mode;
    const error = refused(() => sys.mmap(address, length, RW, PLAIN | FIXED, -1, 0, { replace }));
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject(memmapSays('FOREIGN'));
    expect(findRegion(address)?.mode).toBe(before);
    expect(replace.every(({ state }) => state !== 'replaced')).toBe(true);
  });

  it('at address 0 is refused before anything else', () => {
    const error = refused(() => sys.mmap(0, 1, RW, PLAIN | FIXED, -1, 0));
    expect(error).toMatchObject({ ...memmapSays('RANGE'), argument: 'address' });
  });

  it('of no bytes, or within a page, is EINVAL', () => {
    const m = placed(1);
    for (const [address, length] of [
      [m.address, 0],
      [m.address + 1n, 1],
    ] as const) {
      expect(
        refused(() => sys.mmap(address, length, RW, PLAIN | FIXED, -1, 0, { replace: m })),
      ).toMatchObject(kernelSays('EINVAL', 'mmap'));
    }
    expect(m.state).toBe('mapped');
  });

  it.each<[string, string, () => number, number]>([
    ['a file of the kernel', 'EIO', () => fs.openSync('/proc/version', 'r'), READ],
    ['a folder', 'ENODEV', () => fs.openSync(scratch.folder, 'r'), READ],
    ['a file that may only be read', 'EACCES', () => fs.openSync(path, 'r'), RW],
    ['a closed descriptor', 'EBADF', () => -1, READ],
  ])('by %s is %s, and every byte of the target is as it was', (_what, code, open, protection) => {
    const m = placed(2);
    const view = m.buffer;
    patterned(2 * pageSize).copy(view);
    const error = refused(() =>
      sys.mmap(m.address, 2 * pageSize, protection, SHARED | FIXED, open(), 0, { replace: m }),
    );
    expect(error).toMatchObject({ ...kernelSays(code, 'mmap'), address: m.address });
    expect(view.equals(patterned(2 * pageSize))).toBe(true);
    expect([m.state, m.buffer === view, registry.at(m.address) === m]).toEqual([
      'mapped',
      true,
      true,
    ]);
    expect(modesOf(m.address, 2, pageSize)).toEqual(['rw-p', 'rw-p']);
  });

  it('over a file mapping gives the file back and leaves it alone', () => {
    const m = mapFileSync(scratch.file(bytes), {
      access: 'read-write',
      address: nowhere(4 * pageSize),
      placement: 'exclusive',
    });
    const over = sys.mmap(m.address, 4 * pageSize, RW, PLAIN | FIXED, -1, 0, { replace: m });
    over.buffer.fill(0xff);
    expect(fs.readFileSync(m.path!).equals(bytes)).toBe(true);
    expect(regionAt(m.address)).toMatchObject({ mode: 'rw-p', inode: 0 });
  });

  it('can be repeated over its own answer', () => {
    let m = placed(4);
    const { address } = m;
    for (let round = 0; round < 20; round++) {
      expect(m.buffer.fill(round)[0]).toBe(round);
      m = sys.mmap(address, 4 * pageSize, RW, PLAIN | FIXED, -1, 0, { replace: m });
      expect(m.buffer[0]).toBe(0);
    }
    expect(registry.mappings()).toEqual([m]);
  });

  it('beside MAP_FIXED_NOREPLACE is the careful one', () => {
    const m = placed(1);
    const both = PLAIN | FIXED | 0x100000;
    expect(refused(() => sys.mmap(m.address, 1, RW, both, -1, 0, { replace: m }))).toMatchObject(
      kernelSays('EEXIST', 'mmap'),
    );
    expect(m.state).toBe('mapped');
  });
});

describe('the replace option', () => {
  it.each<[string, unknown]>([
    ['no Mapping', {}],
    ['a number', 5],
    ['a list with something else in it', [mapAnonymous(1), 'x']],
    ['null', null],
    ['a hole in a list', [undefined]],
  ])('refuses %s', (_what, replace) => {
    const m = placed(1);
    for (const call of [
      () => sys.mmap(m.address, 1, RW, PLAIN | FIXED, -1, 0, { replace: replace as never }),
      () => sys.munmap(m.address, 1, { replace: replace as never }),
      () => sys.mremap(m.address, 1, 1, 0, 0, { replace: replace as never }),
    ]) {
      const error = refused(call);
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'options.replace' });
    }
    expect(m.state).toBe('mapped');
  });
});
