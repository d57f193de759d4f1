// The face of the fault guard: what records and errors look like, what a damaged mapping refuses, repair().

import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import {
  FaultError,
  type FaultKind,
  type FaultRecord,
  MapError,
  Mapping,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { patterned } from './helpers/files.js';
import { modesOf, regionAt } from './helpers/kernel.js';
import { memmapSays, refused, refusedLater } from './helpers/refusals.js';
import {
  PAGES,
  damagedForEach,
  listenTo,
  lose,
  m,
  original,
  path,
  scratch,
  told,
} from './helpers/damaged.js';

damagedForEach();

const { errno } = os;

describe('FaultError', () => {
  const kinds: [FaultKind, number, string][] = [
    ['truncated', errno.EFAULT, 'the file is shorter than the mapping'],
    ['no-space', errno.ENOSPC, 'no space left for what was written'],
    ['io-error', errno.EIO, 'the file could not be read or written'],
    ['read-only', errno.EACCES, 'read-only memory was written to'],
  ];

  it.each(kinds)('%s has the fields of a system error of Node', (kind, number, text) => {
    const error = new FaultError(kind);
    expect(error).toBeInstanceOf(MapError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'MapError',
      code: 'ERR_MEMMAP_FAULT',
      errno: -number,
      syscall: 'page_fault',
      kind,
      message: `ERR_MEMMAP_FAULT: ${text}`,
    });
  });

  it('says how much, where, of which file and what to do, and nothing that is not known', () => {
    const where = { length: 10, fileOffset: 7n, path: '/a file', hint: 'repair() it' };
    const error = new FaultError('truncated', { ...where, offset: 3, address: undefined });
    expect(error.message).toBe(
      "ERR_MEMMAP_FAULT: the file is shorter than the mapping: 10 bytes at 7, '/a file' (repair() it)",
    );
    expect(error).toMatchObject({ ...where, offset: 3 });
    for (const name of ['address', 'mapping', 'thread', 'time', 'count', 'signal', 'conflicts']) {
      expect([name, name in error]).toEqual([name, false]);
    }
  });

  it('does not show the inside of its mapping to console.log', () => {
    const error = new FaultError('truncated', { mapping: m });
    expect(error.mapping).toBe(m);
    expect(Object.keys(error)).not.toContain('mapping');
  });
});

describe('a record', () => {
  it('is complete and frozen, and the event says the same', async () => {
    const before = Date.now();
    lose(2);
    const after = Date.now();
    const [fault, ...more] = m.faults as [FaultRecord];
    expect(more).toEqual([]);
    expect(fault).toEqual({
      kind: 'truncated',
      offset: 2 * pageSize,
      fileOffset: BigInt(2 * pageSize),
      length: 2 * pageSize,
      address: m.address + BigInt(2 * pageSize),
      thread: fault.thread,
      time: fault.time,
      count: 2,
      signal: 'SIGBUS',
    });
    expect(existsSync(`/proc/self/task/${String(fault.thread)}`)).toBe(true);
    expect(fault.time).toBeGreaterThanOrEqual(before);
    expect(fault.time).toBeLessThanOrEqual(after);
    expect(Object.isFrozen(fault)).toBe(true);

    expect(told).toEqual([]);
    await turn();
    expect(told).toHaveLength(1);
    expect(told[0]).toBeInstanceOf(FaultError);
    expect(told[0]).toMatchObject({ ...fault, path, errno: -errno.EFAULT });
    expect(told[0]?.mapping).toBe(m);
  });

  it('of an unaligned window never leaves it', () => {
    const own = mapFileSync(path, { offset: pageSize + 5, length: pageSize });
    const errors = listenTo(own);
    expect(own.buffer.length).toBe(pageSize);
    truncateSync(path, pageSize);
    own.buffer.indexOf(-1);
    expect(own.buffer.equals(Buffer.alloc(pageSize))).toBe(true);
    const [fault] = own.faults as [FaultRecord];
    expect(fault).toMatchObject({ offset: 0, length: pageSize, fileOffset: BigInt(pageSize + 5) });
    expect(fault.address).toBe(own.address);
    own.unmap();
    expect(errors).toEqual([]);
  });

  it('of a stray write tells what it was', async () => {
    const own = mapFileSync(path);
    const errors = listenTo(own);
    own.buffer[pageSize] = 1 + (original[pageSize] ?? 0);
    expect(own.faults).toMatchObject([
      { kind: 'read-only', offset: pageSize, length: pageSize, count: 1, signal: 'SIGSEGV' },
    ]);
    await turn();
    expect(errors).toMatchObject([{ kind: 'read-only', errno: -errno.EACCES, path }]);
    expect(own.buffer.equals(original)).toBe(true);
    expect(readFileSync(path).equals(original)).toBe(true);
    expect(regionAt(own.address).mode).toBe('r--s');
    expect(regionAt(own.address + BigInt(pageSize)).inode).toBeGreaterThan(0);
    own.unmap();
  });

  it('of memory without a file has offset 0 in it', async () => {
    const own = mapAnonymous(2 * pageSize);
    const errors = listenTo(own);
    own.buffer.fill(3);
    own.protect('read');
    own.buffer[pageSize + 1] = 4;
    expect(own.faults).toHaveLength(1);
    await turn();
    expect(errors).toMatchObject([{ kind: 'read-only', offset: pageSize, fileOffset: 0n }]);
    expect('path' in errors[0]!).toBe(false);
    expect(own.buffer.equals(Buffer.alloc(2 * pageSize, 3))).toBe(true);
    expect(modesOf(own.address, 2, pageSize)).toEqual(['r--p', 'r--p']);
    own.unmap();
  });

  it('cannot be taken out of the list from outside', () => {
    lose(3);
    m.faults.length = 0;
    expect(m.faults).toHaveLength(1);
    expect(m.faults).not.toBe(m.faults);
  });

  it('can still be read when the mapping is gone', () => {
    lose(3);
    m.unmap();
    expect(m.faults).toMatchObject([{ kind: 'truncated', offset: 3 * pageSize }]);
  });
});

describe('a damaged mapping', () => {
  it('is known to the registry: what the guard put in is no drift', () => {
    lose(2);
    expect(modesOf(m.address, PAGES, pageSize)).toEqual(['rw-s', 'rw-s', 'rw-p', 'rw-p']);
    expect(regionAt(m.address + BigInt(2 * pageSize)).inode).toBe(0);
    expect(registry.verify()).toEqual([]);
  });

  it('gives and takes what is right, and throws the fault for the rest', async () => {
    lose(2);
    const lost = 2 * pageSize;
    expect(m.read(0, lost).equals(original.subarray(0, lost))).toBe(true);
    expect(m.write(0, 'fine')).toBe(4);
    m.flushSync({ offset: 0, length: lost });
    m.advise('random');
    m.protect('read-write');
    const where = { path, offset: lost, fileOffset: BigInt(lost), length: pageSize };
    const fault = { name: 'MapError', kind: 'truncated', syscall: 'page_fault' };
    const expected = { ...memmapSays('FAULT'), ...fault, ...where };
    const refusals = [
      refused(() => m.flushSync()),
      await refusedLater(m.flush({ offset: lost, length: 1 })),
      await refusedLater(m.repair()),
    ];
    for (const refusal of refusals) expect(refusal).toMatchObject(expected);
    const places = [
      refused(() => m.read(lost - 1, 2)),
      refused(() => m.write(lost - 1, 'xy')),
      await refusedLater(m.readAsync(lost - 1, 2)),
      await refusedLater(m.writeAsync(lost - 1, 'xy')),
    ];
    for (const refusal of places) {
      expect(refusal).toMatchObject({ ...memmapSays('FAULT'), ...fault, path });
    }
  });

  it('is not moved, cut up or emptied', () => {
    lose(2);
    const second = m.address + BigInt(pageSize);
    const all = PAGES * pageSize;
    const calls = [
      () => m.resize(all * 2),
      () => m.resize(pageSize),
      () => m.advise('dontneed'),
      () => sys.munmap(second, pageSize, { replace: m }),
      () => sys.mremap(m.address, all, 2 * all, 1),
    ];
    for (const call of calls) {
      expect(refused(call)).toMatchObject({ ...memmapSays('FAULT'), kind: 'truncated' });
    }
    expect([m.state, m.length, m.parts]).toEqual(['mapped', all, []]);
    expect(m.faults).toHaveLength(1);
  });

  it('starts afresh when the whole is replaced', async () => {
    lose(0);
    m.replace({ file: scratch.file(original) });
    expect(m.buffer.equals(original)).toBe(true);
    await m.repair();
    expect(m.faults).toEqual([]);
    await m.flush();
  });
});

describe('repair', () => {
  it('brings what was written to the file, and the file to the pages', async () => {
    lose(1);
    m.buffer.write('kept', 2 * pageSize + 5);
    const now = patterned(PAGES * pageSize).map((byte) => byte ^ 0xff);
    writeFileSync(path, now);
    await m.repair();
    now.set(Buffer.from('kept'), 2 * pageSize + 5);
    expect(readFileSync(path).equals(now)).toBe(true);
    expect(m.buffer.equals(now)).toBe(true);
    expect(m.faults).toEqual([]);
    expect(modesOf(m.address, PAGES, pageSize)).toEqual(Array(PAGES).fill('rw-s'));
    await m.flush();
    await turn();
    expect(told).toHaveLength(1);
  });

  it('keeps everything while the file is too short', async () => {
    lose(1);
    m.buffer.write('kept', 3 * pageSize);
    truncateSync(path, 2 * pageSize);
    for (const round of [1, 2]) {
      const error = await refusedLater(m.repair());
      expect([round, error]).toMatchObject([round, memmapSays('FAULT')]);
      expect(error.message).toContain('nothing was lost');
      expect(m.faults).toHaveLength(1);
      expect(m.buffer.toString('latin1', 3 * pageSize, 3 * pageSize + 4)).toBe('kept');
    }
  });

  it('does nothing to a healthy mapping, an empty one, or one that never had a Buffer', async () => {
    const empty = mapFileSync(scratch.file(''));
    const unseen = mapFileSync(path);
    const memory = mapAnonymous(pageSize);
    memory.buffer.fill(7);
    const before = modesOf(m.address, PAGES, pageSize);
    for (const mapping of [m, empty, unseen, memory]) {
      await expect(mapping.repair()).resolves.toBeUndefined();
      expect(mapping.faults).toEqual([]);
    }
    expect(modesOf(m.address, PAGES, pageSize)).toEqual(before);
    expect(memory.buffer.equals(Buffer.alloc(pageSize, 7))).toBe(true);
    for (const mapping of [empty, unseen, memory]) mapping.unmap();
  });

  it('of memory without a file forgets', async () => {
    const own = mapAnonymous(pageSize, { access: 'read', shared: true });
    listenTo(own);
    own.buffer[0] = 1;
    expect(own.faults).toHaveLength(1);
    await own.repair();
    expect([own.faults, own.buffer[0]]).toEqual([[], 0]);
    own.unmap();
  });

  it('rejects for what is gone or is no mapping, and throws nothing', async () => {
    m.unmap();
    expect(await refusedLater(m.repair())).toMatchObject(memmapSays('UNMAPPED'));
    const { repair } = Mapping.prototype;
    const nobody: unknown = {};
    expect(await refusedLater(repair.call(nobody as Mapping))).toMatchObject(
      memmapSays('ARGUMENT'),
    );
  });

  it('holds the mapping until it is done', async () => {
    lose(1);
    truncateSync(path, PAGES * pageSize);
    const repairing = m.repair();
    expect(refused(() => m.unmap())).toMatchObject(memmapSays('BUSY'));
    await repairing;
    expect(m.faults).toEqual([]);
  });

  it('twice at once is as good as once', async () => {
    lose(0);
    m.buffer.fill(9);
    truncateSync(path, PAGES * pageSize);
    await Promise.all([m.repair(), m.repair()]);
    expect(m.faults).toEqual([]);
    expect(readFileSync(path).equals(Buffer.alloc(PAGES * pageSize, 9))).toBe(true);
  });
});
