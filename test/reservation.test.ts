import { readFileSync, statSync } from 'node:fs';
import {
  Reservation,
  constants,
  mapAnonymous,
  pageSize,
  registry,
  reserve,
  sys,
} from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { findRegion, modesOf, regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);
const PAGE = BigInt(pageSize);
const held: Reservation[] = [];

function reserved(...args: Parameters<typeof reserve>): Reservation {
  const reservation = reserve(...args);
  held.push(reservation);
  return reservation;
}

/** What the kernel lets be done with each of its pages. */
const modes = (r: Reservation): string[] => modesOf(r.address, r.length / pageSize, pageSize);

const MEMORY = { anonymous: pageSize } as const;

afterAll(() => {
  scratch.remove();
});
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const reservation of held.splice(0)) reservation.release();
  expect(registry.mappings()).toEqual([]);
});

describe('reserve()', () => {
  it('owns pages that nobody can use, and that cost nothing', () => {
    const r = reserved(3 * pageSize + 1);
    expect([r.length, r.state]).toEqual([4 * pageSize, 'reserved']);
    expect(modes(r)).toEqual(['---p', '---p', '---p', '---p']);
    expect(regionAt(r.address).sizes['Rss']).toBe(0);
    expect(registry.at(r.address + PAGE)).toBe(r);
    expect(registry.overlapping(r.address, 1)).toEqual([r]);
    expect(registry.mappings()).toEqual([]);
    expect(r.layout()).toEqual([{ offset: 0, length: 4 * pageSize, mapping: undefined }]);
  });

  it('may be larger than all memory and all swap space', () => {
    const r = reserved(2 ** 44);
    expect(regionAt(r.address + 2n ** 43n).mode).toBe('---p');
  });

  it.each([2 ** 21, 2 ** 30, 2 ** 40])(
    'lies at a multiple of %d, and keeps no slack',
    (alignment) => {
      const r = reserved(pageSize, { alignment });
      expect(r.address % BigInt(alignment)).toBe(0n);
      expect(registry.at(r.address - 1n)).toBeUndefined();
      expect(registry.at(r.address + PAGE)).toBeUndefined();
    },
  );

  it('has guard pages on either side, in which nothing can be placed', () => {
    const r = reserved(2 * pageSize, { guardPages: 3, alignment: 2 ** 21 });
    expect(modesOf(r.address - 3n * PAGE, 8, pageSize)).toEqual(Array(8).fill('---p'));
    expect(registry.at(r.address - 3n * PAGE)).toBe(r);
    expect(refused(() => r.place(2 * pageSize, MEMORY))).toMatchObject(memmapSays('RANGE'));
    const flags = constants['MAP_FIXED']! | constants['MAP_PRIVATE']! | constants['MAP_ANON']!;
    const call = () => sys.mmap(r.address - PAGE, pageSize, 3, flags, -1, 0, { replace: r });
    expect(refused(call)).toMatchObject({ ...memmapSays('UNSUPPORTED'), conflicts: [r] });
    const whole = regionAt(r.address - PAGE);
    r.release();
    expect(findRegion(whole.start)?.mode ?? 'gone').not.toBe('---p');
  });

  it('takes an address exactly, or says who is in the way', () => {
    const r = reserved(4 * pageSize);
    const { address } = r;
    const exactly = { address, placement: 'exclusive' } as const;
    const error = refused(() => reserve(pageSize, exactly));
    expect(error).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), conflicts: [r] });
    r.release();
    expect(reserved(4 * pageSize, exactly).address).toBe(address);
    expect(refused(() => reserve(pageSize, { placement: 'exclusive' }))).toMatchObject(
      memmapSays('ARGUMENT'),
    );
  });

  it('refuses what no address space has, and leaves nothing behind', () => {
    expect(refused(() => reserve(2 ** 52))).toMatchObject({
      ...kernelSays('ENOMEM', 'mmap'),
      hint: expect.stringContaining('RLIMIT_AS') as string,
    });
    expect(refused(() => reserve(2 ** 53 - 1, { alignment: 2 ** 52 })).message).toBeTruthy();
    expect(registry.overlapping(0, 2n ** 57n)).toEqual([]);
  });

  it('is not made by new', () => {
    const Class = Reservation as unknown as new (...args: unknown[]) => unknown;
    expect(refused(() => new Class())).toMatchObject(memmapSays('ARGUMENT'));
    expect(refused(() => Reservation.prototype.layout.call({} as never))).toMatchObject(
      memmapSays('ARGUMENT'),
    );
  });
});

describe('place()', () => {
  it('puts a file there, which two processes see', () => {
    const path = scratch.file(bytes);
    const r = reserved(8 * pageSize);
    const m = r.place(2 * pageSize, { file: path, access: 'read-write' });
    expect(m).toMatchObject({ address: r.address + 2n * PAGE, length: 4 * pageSize, path });
    expect(regionAt(m.address)).toMatchObject({ mode: 'rw-s', path });
    expect(m.buffer.equals(bytes)).toBe(true);
    m.buffer[5] = 77;
    expect(pythonReads(path, 5, 1)).toBe('4d');
    expect(modes(r)).toEqual(['---p', '---p', ...Array<string>(4).fill('rw-s'), '---p', '---p']);
    expect(registry.at(m.address)).toBe(m);
    expect(registry.overlapping(r.address, r.length)).toEqual([r, m]);
  });

  it('puts memory there, which is zero every time', () => {
    const r = reserved(4 * pageSize);
    for (const access of ['read-write', 'read'] as const) {
      const m = r.place(pageSize, { anonymous: 100, access });
      expect([m.length, m.read(0, 100).equals(Buffer.alloc(100))]).toEqual([100, true]);
      if (access === 'read-write') m.write(0, Buffer.alloc(100, 9));
      expect(regionAt(m.address).mode).toBe(access === 'read' ? 'r--p' : 'rw-p');
      m.unmap();
      expect(modes(r)).toEqual(['---p', '---p', '---p', '---p']);
    }
  });

  it('puts a part of a file at any byte that lies in its page as the file does', () => {
    const path = scratch.file(bytes);
    const r = reserved(4 * pageSize);
    const m = r.place(pageSize + 100, { file: path, offset: pageSize + 100, length: 50 });
    expect(m.buffer.equals(bytes.subarray(pageSize + 100, pageSize + 150))).toBe(true);
    expect(m.address).toBe(r.address + PAGE + 100n);
    const wrong = () => r.place(2 * pageSize, { file: path, offset: 100, length: 50 });
    expect(refused(wrong)).toMatchObject({ ...memmapSays('RANGE'), argument: 'offset' });
    expect(refused(() => r.place(1, MEMORY))).toMatchObject(memmapSays('RANGE'));
  });

  it('does not overwrite what is there, unless that is named', () => {
    const r = reserved(4 * pageSize);
    const a = r.place(0, MEMORY);
    const b = r.place(pageSize, MEMORY);
    b.write(0, Buffer.from('b'));
    const both = { anonymous: 2 * pageSize };
    for (const replace of [[], [a], [b], [mapAnonymous(1)]]) {
      const error = refused(() => r.place(0, both, { replace }));
      expect(error).toMatchObject(memmapSays('OVERLAP'));
      expect(error.conflicts).toEqual([a, b].filter((each) => !replace.includes(each)));
    }
    expect([a.state, b.state, b.read(0, 1).toString()]).toEqual(['mapped', 'mapped', 'b']);
    const c = r.place(0, both, { replace: [a, b] });
    expect([a.state, b.state, c.state]).toEqual(['replaced', 'replaced', 'mapped']);
    expect(c.read(pageSize, 1)[0]).toBe(0);
    for (const m of registry.mappings()) m.unmap();
  });

  it.each(['/proc/self/maps', '/sys/kernel/mm/transparent_hugepage/enabled'])(
    'leaves everything as it was when %s cannot be mapped',
    (path) => {
      const r = reserved(4 * pageSize);
      const m = r.place(0, MEMORY);
      m.write(0, Buffer.from('still'));
      const source = { file: path, length: 1 };
      const error = refused(() => r.place(0, source, { replace: m }));
      const isEmpty = statSync(path).size === 0;
      expect(error).toMatchObject(isEmpty ? memmapSays('RANGE') : kernelSays('ENODEV', 'mmap'));
      expect([m.state, m.read(0, 5).toString()]).toEqual(['mapped', 'still']);
      expect(refused(() => r.place(pageSize, source)).message).toBe(error.message);
      expect(modes(r)).toEqual(['rw-p', '---p', '---p', '---p']);
    },
  );

  it('keeps what is placed for as long as somebody has the reservation', () => {
    const r = reserved(200 * pageSize);
    for (let i = 0; i < 200; i++) r.place(i * pageSize, MEMORY);
    const [first] = r.layout();
    expect([r.layout().length, first?.mapping?.state]).toEqual([200, 'mapped']);
    r.vacate(0, 100 * pageSize);
    expect(r.layout().length).toBe(101);
  });
});

describe('placeAll()', () => {
  it('places several things', () => {
    const path = scratch.file(bytes);
    const r = reserved(8 * pageSize);
    const [a, b, c] = r.placeAll([
      { offset: 4 * pageSize, source: { file: path, access: 'copy-on-write' } },
      { offset: 0, source: MEMORY },
      { offset: pageSize + 8, source: { file: path, offset: 8, length: 10 } },
    ]);
    expect(modes(r)).toEqual(['rw-p', 'r--s', '---p', '---p', ...Array<string>(4).fill('rw-p')]);
    expect(a?.buffer.equals(bytes)).toBe(true);
    expect(c?.buffer.equals(bytes.subarray(8, 18))).toBe(true);
    expect(r.layout().map(({ mapping }) => mapping)).toEqual([b, c, undefined, a]);
    expect(r.placeAll([])).toEqual([]);
  });

  it.each([
    ['a file that is missing', { file: '/nowhere/at/all' }, kernelSays('ENOENT', 'open')],
    ['a file that is too short', { file: __filename, length: 2 ** 30 }, memmapSays('RANGE')],
    [
      'a file that cannot be mapped',
      { file: '/sys/kernel/mm/transparent_hugepage/enabled', length: 1 },
      kernelSays('ENODEV', 'mmap'),
    ],
    ['what is too long', { anonymous: 7 * pageSize }, memmapSays('RANGE')],
    ['what shares a page', { anonymous: 2 * pageSize }, memmapSays('OVERLAP')],
    ["a 'snapshot'", { file: __filename, access: 'snapshot' as const }, memmapSays('UNSUPPORTED')],
  ])('places nothing for %s', (_, source, code) => {
    const path = scratch.file(bytes);
    const r = reserved(8 * pageSize);
    const regions = readFileSync('/proc/self/maps', 'utf8').split('\n').length;
    const call = () =>
      r.placeAll([
        { offset: 0, source: { file: path, length: pageSize } },
        { offset: pageSize, source: MEMORY },
        { offset: 4 * pageSize, source },
        { offset: 5 * pageSize, source: { file: path, length: pageSize } },
      ]);
    expect(refused(call)).toMatchObject(code);
    expect(modes(r)).toEqual(Array(8).fill('---p'));
    expect(r.layout().length).toBe(1);
    const now = readFileSync('/proc/self/maps', 'utf8').split('\n').length;
    expect(Math.abs(now - regions)).toBeLessThan(1000);
  });

  it('does not overwrite anything', () => {
    const r = reserved(4 * pageSize);
    const m = r.place(pageSize, MEMORY);
    const call = () => r.placeAll([{ offset: 0, source: { anonymous: 2 * pageSize } }]);
    expect(refused(call)).toMatchObject({ ...memmapSays('OVERLAP'), conflicts: [m] });
    expect(m.state).toBe('mapped');
  });
});

describe('what is placed', () => {
  it('gives its pages back to the reservation, never to the kernel', () => {
    const path = scratch.file(bytes);
    const r = reserved(4 * pageSize);
    const whole = r.place(0, { file: path });
    whole.unmap();
    expect(modes(r)).toEqual(Array(4).fill('---p'));
    const cut = r.place(0, { file: path });
    sys.munmap(r.address + PAGE, 2 * pageSize, { replace: cut });
    expect(modes(r)).toEqual(['r--s', '---p', '---p', 'r--s']);
    expect(cut.parts.map(({ address }) => address - r.address)).toEqual([0n, 3n * PAGE]);
    const shorter = r.place(pageSize, { anonymous: 2 * pageSize });
    shorter.resize(10);
    expect(modes(r)).toEqual(['r--s', 'rw-p', '---p', 'r--s']);
    for (const part of cut.parts) part.unmap();
    expect(modes(r)).toEqual(['---p', 'rw-p', '---p', '---p']);
  });

  it('cannot grow, and cannot leave', () => {
    const r = reserved(4 * pageSize);
    const m = r.place(0, MEMORY);
    const { MREMAP_MAYMOVE = 0 } = constants;
    for (const call of [
      () => m.resize(2 * pageSize),
      () => sys.mremap(m.address, pageSize, 2 * pageSize, MREMAP_MAYMOVE),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('UNSUPPORTED'));
    }
    expect([m.state, m.length, ...modes(r)]).toEqual([
      'mapped',
      pageSize,
      'rw-p',
      '---p',
      '---p',
      '---p',
    ]);
  });

  it('is replaced by MAP_FIXED of one who names it, and stays in the reservation', () => {
    const r = reserved(4 * pageSize);
    const flags = constants['MAP_FIXED']! | constants['MAP_PRIVATE']! | constants['MAP_ANON']!;
    const fixed = (
      at: bigint,
      length: number,
      replace: (typeof r | ReturnType<typeof r.place>)[],
    ) => sys.mmap(at, length, 3, flags, -1, 0, { replace });
    expect(refused(() => fixed(r.address, pageSize, []))).toMatchObject({
      ...memmapSays('OVERLAP'),
      conflicts: [r],
    });
    const a = fixed(r.address, 2 * pageSize, [r]);
    expect(refused(() => fixed(r.address, 3 * pageSize, [r]))).toMatchObject({ conflicts: [a] });
    const b = fixed(r.address + PAGE, 2 * pageSize, [r, a]);
    expect([a.state, b.state, a.parts.length]).toEqual(['replaced', 'mapped', 1]);
    b.unmap();
    expect(modes(r)).toEqual(['rw-p', '---p', '---p', '---p']);
    const over = refused(() => fixed(r.address + 3n * PAGE, 2 * pageSize, [r]));
    expect([over.code]).toContain('ERR_MEMMAP_FOREIGN');
    expect(refused(() => sys.mprotect(r.address + PAGE, pageSize, 3))).toMatchObject({
      ...memmapSays('FOREIGN'),
      conflicts: [r],
    });
    expect(refused(() => sys.munmap(r.address, r.length, { replace: [r] }))).toMatchObject(
      memmapSays('FOREIGN'),
    );
    expect(modes(r)).toEqual(['rw-p', '---p', '---p', '---p']);
  });

  it('moves in by mremap of one who names the reservation', () => {
    const r = reserved(4 * pageSize);
    const m = mapAnonymous(2 * pageSize);
    m.write(0, Buffer.from('moved'));
    const { MREMAP_MAYMOVE = 0, MREMAP_FIXED = 0 } = constants;
    const to = r.address + PAGE;
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    const length = 2 * pageSize;
    expect(refused(() => sys.mremap(m.address, length, length, flags, to))).toMatchObject({
      ...memmapSays('OVERLAP'),
      conflicts: [r],
    });
    expect(sys.mremap(m.address, length, length, flags, to, { replace: r })).toBe(m);
    expect([m.address, m.read(0, 5).toString()]).toEqual([to, 'moved']);
    m.unmap();
    expect(modes(r)).toEqual(Array(4).fill('---p'));
  });
});

describe('vacate()', () => {
  it('unmaps what is there, wholly or in part, and leaves no hole', () => {
    const path = scratch.file(bytes);
    const r = reserved(8 * pageSize);
    const a = r.place(0, { file: path });
    const b = r.place(4 * pageSize, { anonymous: 2 * pageSize });
    const events: unknown[] = [];
    for (const m of [a, b]) m.on('unmap', () => events.push(m));
    r.vacate(3 * pageSize, 2 * pageSize);
    expect(modes(r)).toEqual(['r--s', 'r--s', 'r--s', '---p', '---p', 'rw-p', '---p', '---p']);
    expect(events).toEqual([a, b]);
    expect(a.parts[0]).toMatchObject({ length: 3 * pageSize, path });
    r.vacate(0, r.length);
    r.vacate(0, 0);
    expect(modes(r)).toEqual(Array(8).fill('---p'));
  });

  it('takes whole pages, or the whole of what is there', () => {
    const r = reserved(4 * pageSize);
    const m = r.place(0, { anonymous: pageSize + 10 });
    for (const [offset, length] of [
      [0, 10],
      [1, pageSize],
      [pageSize, 5],
      [pageSize + 1, pageSize],
    ] as const) {
      expect(refused(() => r.vacate(offset, length))).toMatchObject(memmapSays('RANGE'));
    }
    expect(m.state).toBe('mapped');
    r.vacate(0, pageSize + 10);
    expect([m.state, ...modes(r)]).toEqual(['unmapped', '---p', '---p', '---p', '---p']);
  });

  it('does nothing while something is pinned', () => {
    const r = reserved(4 * pageSize);
    const [a, b] = [r.place(0, MEMORY), r.place(pageSize, MEMORY)];
    const pin = b.pin();
    for (const call of [() => r.vacate(0, 2 * pageSize), () => r.release()]) {
      expect(refused(call)).toMatchObject(memmapSays('BUSY'));
    }
    expect([a.state, b.state, r.state]).toEqual(['mapped', 'mapped', 'reserved']);
    pin.release();
    r.vacate(0, 2 * pageSize);
    expect(b.state).toBe('unmapped');
  });
});

describe('view()', () => {
  it('spans what is placed, and shows what is placed later', () => {
    const path = scratch.file(bytes);
    const r = reserved(4 * pageSize);
    const a = r.place(0, MEMORY);
    const b = r.place(pageSize, { file: path, length: 2 * pageSize });
    const view = r.view(10, 3 * pageSize - 10);
    view.write('first');
    expect(a.buffer.toString('latin1', 10, 15)).toBe('first');
    expect(view.subarray(pageSize - 10).equals(bytes.subarray(0, 2 * pageSize))).toBe(true);
    r.place(pageSize, { file: path, offset: pageSize, length: pageSize }, { replace: b });
    expect(view.length).toBe(3 * pageSize - 10);
    expect(view[pageSize - 10]).toBe(bytes[pageSize]);
    a.replace({ file: path, length: pageSize });
    expect(view.subarray(0, 5).equals(bytes.subarray(10, 15))).toBe(true);
    expect(r.view(0, 0).length).toBe(0);
  });

  it.each<[string, (r: Reservation, m: ReturnType<Reservation['place']>) => void]>([
    ['vacated', (r) => r.vacate(pageSize, pageSize)],
    ['unmapped', (_, m) => m.unmap()],
    ['made unreadable', (_, m) => m.protect('none')],
    ['released', (r) => r.release()],
    [
      'replaced by what cannot be read',
      (r, m) => {
        const flags = constants['MAP_FIXED']! | constants['MAP_PRIVATE']! | constants['MAP_ANON']!;
        sys.mmap(m.address, pageSize, 0, flags, -1, 0, { replace: [m, r] });
      },
    ],
  ])('is detached when a page of it is %s, and no other is', (_, change) => {
    const r = reserved(4 * pageSize);
    const maps = [0, 1, 2].map((page) => r.place(page * pageSize, MEMORY));
    const views = [r.view(0, 3 * pageSize), r.view(pageSize - 1, 2), r.view(0, pageSize)];
    change(r, maps[1]!);
    const last = r.state === 'released' ? 0 : pageSize;
    expect(views.map(({ length }) => length)).toEqual([0, 0, last]);
  });

  it('is of pages that can be read', () => {
    const r = reserved(4 * pageSize);
    r.place(0, MEMORY);
    const m = r.place(2 * pageSize, MEMORY);
    for (const [offset, length] of [
      [0, 2 * pageSize],
      [pageSize, 1],
      [pageSize, 2 * pageSize],
    ] as const) {
      expect(refused(() => r.view(offset, length))).toMatchObject(memmapSays('UNSUPPORTED'));
    }
    m.protect('none');
    expect(refused(() => r.view(2 * pageSize, 1))).toMatchObject(memmapSays('UNSUPPORTED'));
    expect(refused(() => r.view(3 * pageSize, 2 * pageSize))).toMatchObject(memmapSays('RANGE'));
  });

  it('leaves pages that native code may be reading readable, until they are placed again', () => {
    const r = reserved(2 * pageSize);
    const m = r.place(0, MEMORY);
    m.buffer.fill(7);
    m.unmap();
    expect(modes(r)).toEqual(['rw-p', '---p']);
    const again = r.place(0, { anonymous: 2 * pageSize });
    expect(again.read(0, 1)[0]).toBe(0);
  });
});

describe('release()', () => {
  it('gives everything back, once', () => {
    const r = reserved(4 * pageSize);
    const { address } = r;
    const m = r.place(pageSize, MEMORY);
    const told = jest.fn();
    m.on('unmap', told);
    r.release();
    r.release();
    r[Symbol.dispose]();
    expect(told).toHaveBeenCalledTimes(1);
    expect([r.state, m.state, registry.at(address), r.layout()]).toEqual([
      'released',
      'unmapped',
      undefined,
      [],
    ]);
    expect(modesOf(address, 4, pageSize)).not.toContain('---p');
    for (const call of [
      () => r.place(0, MEMORY),
      () => r.placeAll([]),
      () => r.vacate(0, pageSize),
      () => r.view(0, 1),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('UNMAPPED'));
    }
  });
});
