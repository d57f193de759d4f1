import fs from 'node:fs';
import {
  type Mapping,
  constants,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { findRegion, modesOf, nowhere, regionAt } from './helpers/kernel.js';
import { memmapSays, refused, refusedLater } from './helpers/refusals.js';

const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = constants as Record<
  string,
  number
>;
const RW = PROT_READ! | PROT_WRITE!;
const PLAIN = MAP_PRIVATE! | MAP_ANONYMOUS!;
const PAGE = BigInt(pageSize);

const scratch = new Scratch();
const bytes = patterned(5 * pageSize);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

/** Memory at a place where its pages are free again once they are unmapped. */
function placed(pages: number): Mapping {
  const address = nowhere(pages * pageSize);
  return mapAnonymous(pages * pageSize, { address, placement: 'exclusive' });
}

describe('unmap', () => {
  it('takes the pages away', () => {
    const m = placed(3);
    m.unmap();
    expect(modesOf(m.address, 3, pageSize)).toEqual(['----', '----', '----']);
    expect([m.state, registry.mappings()]).toEqual(['unmapped', []]);
  });

  it('may be done twice', () => {
    const m = mapAnonymous(pageSize);
    m.unmap();
    m.unmap();
    m[Symbol.dispose]();
    expect(m.state).toBe('unmapped');
  });

  it('with views leaves zeros at the place for a while, that nobody owns or is given', () => {
    const path = scratch.file(bytes);
    const address = nowhere(5 * pageSize);
    const m = mapFileSync(path, { address, placement: 'exclusive' });
    const view = m.view(10, 10);
    m.unmap();
    expect(view).toHaveLength(0);
    expect(regionAt(address)).toMatchObject({ mode: 'rw-p', inode: 0 });
    expect(registry.overlapping(address, 5 * pageSize)).toEqual([]);
    const again = refused(() => mapAnonymous(pageSize, { address, placement: 'exclusive' }));
    expect(again).toMatchObject({ code: 'EEXIST', syscall: 'mmap', conflicts: [] });
    for (const call of [
      () => sys.munmap(address, pageSize),
      () => sys.mprotect(address, pageSize, 0),
      () => sys.mmap(address, pageSize, RW, PLAIN | MAP_FIXED!, -1, 0, { replace: [] }),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('FOREIGN'));
    }
  });

  it('emits unmap once, when it is done', () => {
    const m = mapAnonymous(pageSize);
    const states: string[] = [];
    m.on('unmap', () => states.push(m.state));
    m.unmap();
    m.unmap();
    expect(states).toEqual(['unmapped']);
  });

  it('is done even if a listener throws', () => {
    const m = placed(1);
    m.on('unmap', () => {
      throw new Error('mine');
    });
    expect(refused(() => m.unmap()).message).toBe('mine');
    expect([m.state, findRegion(m.address)]).toEqual(['unmapped', undefined]);
  });
});

describe('pin', () => {
  it('makes unmap and what is like it ERR_MEMMAP_BUSY, until the last is released', () => {
    const m = mapAnonymous(2 * pageSize);
    const pins = [m.pin(), m.pin()];
    const moves = [
      () => m.unmap(),
      () => m[Symbol.dispose](),
      () => m.replace({ anonymous: 2 * pageSize }),
      () => m.resize(10),
      () => m.protect('none'),
      () => sys.munmap(m.address, pageSize, { replace: m }),
      () => sys.mmap(m.address, pageSize, RW, PLAIN | MAP_FIXED!, -1, 0, { replace: m }),
      () => sys.mremap(m.address, 2 * pageSize, pageSize, 0),
      () => sys.mprotect(m.address, pageSize, 0),
    ];
    for (const pin of pins) {
      for (const move of moves) {
        const error = refused(move);
        expect(error).toBeInstanceOf(TypeError);
        expect(error).toMatchObject(memmapSays('BUSY'));
        expect(error.message).toContain('pinned');
      }
      pin.release();
      pin.release(); // counts once
    }
    expect(modesOf(m.address, 2, pageSize)).toEqual(['rw-p', 'rw-p']);
    m.unmap();
  });

  it('is released by Symbol.dispose, also after unmap', () => {
    const m = mapAnonymous(pageSize);
    const pin = m.pin();
    pin[Symbol.dispose]();
    m.unmap();
    pin[Symbol.dispose]();
    expect(refused(() => m.pin())).toMatchObject(memmapSays('UNMAPPED'));
  });

  it('lets everything through that leaves the memory where it is', async () => {
    const m = mapFileSync(scratch.file(bytes), { access: 'read-write' });
    const pin = m.pin();
    m.protect('read');
    m.protect('read-write');
    m.write(0, 'x');
    m.flushSync();
    await m.flush();
    m.advise('willneed');
    pin.release();
  });
});

describe('disposal', () => {
  it('Symbol.dispose unmaps', () => {
    const m = mapAnonymous(pageSize);
    m[Symbol.dispose]();
    expect(m.state).toBe('unmapped');
  });

  it('Symbol.asyncDispose flushes what was changed, then unmaps', async () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { access: 'read-write' });
    m.buffer.write('changed');
    await m[Symbol.asyncDispose]();
    expect(m.state).toBe('unmapped');
    expect(pythonReads(path, 0, 7)).toBe(Buffer.from('changed').toString('hex'));
    await m[Symbol.asyncDispose]();
  });

  it('Symbol.asyncDispose takes private memory, snapshots and empty mappings too', async () => {
    const path = scratch.file(bytes);
    for (const m of [
      mapAnonymous(1),
      mapFileSync(path, { access: 'snapshot' }),
      mapFileSync(path, { access: 'copy-on-write' }),
      mapFileSync(path),
      mapFileSync(scratch.file('')),
    ]) {
      await m[Symbol.asyncDispose]();
      expect(m.state).toBe('unmapped');
    }
  });

  it('Symbol.asyncDispose rejects while it is pinned, and nothing is lost', async () => {
    const m = mapAnonymous(pageSize);
    const pin = m.pin();
    expect(await refusedLater(m[Symbol.asyncDispose]())).toMatchObject(memmapSays('BUSY'));
    expect(m.state).toBe('mapped');
    pin.release();
  });
});

describe('parts', () => {
  it('are what is left of a mapping when its middle is unmapped', () => {
    const path = scratch.file(bytes);
    const address = nowhere(5 * pageSize);
    const m = mapFileSync(path, {
      address,
      placement: 'exclusive',
      offset: 10,
      length: 5 * pageSize - 20,
    });
    expect(m.address).toBe(address + 10n);
    sys.munmap(address + 2n * PAGE, pageSize, { replace: m });
    expect(modesOf(address, 5, pageSize)).toEqual(['r--s', 'r--s', '----', 'r--s', 'r--s']);
    expect([m.state, m.parts.length]).toEqual(['unmapped', 2]);
    const [left, right] = m.parts as [Mapping, Mapping];
    expect(left).toMatchObject({
      address: address + 10n,
      length: 2 * pageSize - 10,
      fileOffset: 10n,
      path,
      state: 'mapped',
    });
    expect(right).toMatchObject({
      address: address + 3n * PAGE,
      length: 2 * pageSize - 10,
      fileOffset: 3n * PAGE,
      path,
    });
    expect(left.buffer.equals(bytes.subarray(10, 2 * pageSize))).toBe(true);
    expect(right.buffer.equals(bytes.subarray(3 * pageSize, 5 * pageSize - 10))).toBe(true);
    expect(registry.mappings()).toEqual([left, right]);
    expect(refused(() => m.read(0, 1))).toMatchObject(memmapSays('UNMAPPED'));
  });

  it('are what is left when a part is replaced, and the replacement is no part', () => {
    const m = placed(3);
    m.write(0, 'left');
    m.write(2 * pageSize, 'right');
    const events: string[] = [];
    m.on('replace', () => events.push(m.state));
    const middle = sys.mmap(m.address + PAGE, pageSize, RW, PLAIN | MAP_FIXED!, -1, 0, {
      replace: m,
    });
    expect([m.state, events]).toEqual(['replaced', ['replaced']]);
    expect(m.parts.map((part) => part.read(0, 5).toString('latin1').replace(/\0/g, ''))).toEqual([
      'left',
      'right',
    ]);
    expect(registry.mappings()).toEqual([m.parts[0], middle, m.parts[1]]);
    const { parts } = m;
    m.unmap();
    expect(modesOf(m.address, 3, pageSize)).toEqual(['----', 'rw-p', '----']);
    expect([middle, ...parts].map(({ state }) => state)).toEqual([
      'mapped',
      'unmapped',
      'unmapped',
    ]);
    expect(m.parts).toEqual([]);
  });

  it('views over pages that remain live on, others are detached', () => {
    const m = placed(3);
    const [left, across, gone, right] = [
      m.view(0, pageSize),
      m.view(pageSize - 1, 2),
      m.view(pageSize, 10),
      m.view(2 * pageSize, pageSize),
    ];
    sys.munmap(m.address + PAGE, pageSize, { replace: m });
    expect([left, across, gone, right].map((view) => view.length)).toEqual([
      pageSize,
      0,
      0,
      pageSize,
    ]);
    left.fill(1);
    right.fill(2);
    expect(m.parts.map((part) => part.read(0, 1)[0])).toEqual([1, 2]);
    m.unmap();
    expect([left.length, right.length]).toEqual([0, 0]);
  });

  it('keep their protections', () => {
    const m = placed(5);
    m.protect('read', { offset: pageSize, length: pageSize });
    m.protect('none', { offset: 3 * pageSize });
    sys.munmap(m.address + 2n * PAGE, pageSize, { replace: m });
    expect(m.parts.map((part) => part.protection)).toEqual(['mixed', 'none']);
    expect(refused(() => m.parts[0]!.write(pageSize, 'x'))).toMatchObject(memmapSays('READ_ONLY'));
  });

  it('are mappings like any other: they split again, and can be named', () => {
    const m = placed(5);
    sys.munmap(m.address, pageSize, { replace: m });
    const [rest] = m.parts as [Mapping];
    expect(rest).toMatchObject({ address: m.address + PAGE, length: 4 * pageSize });
    const error = refused(() => sys.munmap(m.address + 2n * PAGE, pageSize, { replace: m }));
    expect(error).toMatchObject({ ...memmapSays('OVERLAP'), conflicts: [rest] });
    sys.munmap(m.address + 2n * PAGE, pageSize, { replace: rest });
    expect(rest.parts.map((part) => part.length)).toEqual([pageSize, 2 * pageSize]);
    expect(m.parts).toEqual(rest.parts);
    m.unmap();
    expect(modesOf(m.address, 5, pageSize)).toEqual(Array(5).fill('----'));
  });

  it('there are none of a whole mapping, and the list is a copy', () => {
    const m = mapAnonymous(pageSize);
    m.parts.push(m);
    expect(m.parts).toEqual([]);
  });
});

describe('events', () => {
  it('sys.munmap of several emits when all are gone, so that a handler sees the whole', () => {
    const address = nowhere(2 * pageSize);
    const [a, b] = [address, address + PAGE].map((each) =>
      mapAnonymous(pageSize, { address: each, placement: 'exclusive' }),
    ) as [Mapping, Mapping];
    const seen: string[] = [];
    let taken: Mapping | undefined;
    a.on('unmap', () => {
      seen.push(a.state, b.state);
      // What somebody maps there now is not the caller's to unmap.
      taken = mapAnonymous(pageSize, { address: b.address, placement: 'exclusive' });
    });
    b.on('unmap', () => seen.push('b'));
    sys.munmap(address, 2 * pageSize, { replace: [a, b] });
    expect(seen).toEqual(['unmapped', 'unmapped', 'b']);
    expect([taken?.state, findRegion(b.address)?.mode]).toEqual(['mapped', 'rw-p']);
    expect(taken?.write(0, 'alive')).toBe(5);
  });

  it('sys.mmap over a mapping emits replace, of the whole or a part', () => {
    const [whole, half] = [placed(1), placed(2)];
    const seen: string[] = [];
    whole.on('replace', () => seen.push('whole'));
    half.on('replace', () => seen.push('half'));
    for (const m of [whole, half]) {
      sys.mmap(m.address, pageSize, RW, PLAIN | MAP_FIXED!, -1, 0, { replace: m });
    }
    expect(seen).toEqual(['whole', 'half']);
    expect([whole.state, whole.parts, half.parts.length]).toEqual(['replaced', [], 1]);
  });
});

it('a Mapping whose file is gone keeps its pages until unmap', () => {
  const path = scratch.file(bytes);
  const m = mapFileSync(path, { access: 'read-write' });
  fs.unlinkSync(path);
  m.buffer.write('nobody else sees this');
  m.flushSync();
  expect(regionAt(m.address).path).toContain('(deleted)');
  m.unmap();
});
