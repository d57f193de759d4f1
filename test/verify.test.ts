import fs from 'node:fs';
import { mapAnonymous, mapFileSync, pageSize, registry, sys } from '../lib/index.js';
import { Scratch, patterned } from './helpers/files.js';
import { modesOf, nowhere } from './helpers/kernel.js';
import { type Outside, buildOutside } from './helpers/outside.js';
import { FIXED, NONE, PAGE, PLAIN, READ, RW, placed, scattered } from './helpers/raw.js';
import { itUnless, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);
const built = buildOutside(scratch.folder);
const outside = built as Outside;
const itDrifts = itUnless(typeof built === 'string' ? built : undefined);

afterAll(() => scratch.remove());
afterEach(() => {
  for (const mapping of registry.mappings()) mapping.unmap();
  expect(registry.verify()).toEqual([]);
});

describe('the two lists agree', () => {
  it('about nothing', () => {
    expect(registry.mappings()).toEqual([]);
    expect(registry.verify()).toEqual([]);
  });

  it('whatever was done through memmap', async () => {
    const path = scratch.file(bytes);
    const { mappings, address } = scattered(0, 1, 2, 3); // the kernel may make one region of these
    mappings[1]!.protect('read');
    mappings[2]!.protect('none');
    const file = mapFileSync(path, { offset: 100, access: 'read-write' });
    const device = mapFileSync('/dev/zero', { length: pageSize, access: 'copy-on-write' });
    const both = mapFileSync('/dev/zero', { length: pageSize, access: 'read-write' });
    const shared = mapAnonymous(3 * pageSize, { shared: true, inherit: true });
    const shm = mapFileSync(path, { access: 'copy-on-write', address: nowhere(4 * pageSize) });
    shm.write(pageSize, 'own');
    device.write(0, 'own');
    both.write(0, 'shared');
    file.replace({ file: path, offset: 100 });
    shared.resize(pageSize);
    sys.mmap(address, pageSize, RW, PLAIN | FIXED, -1, 0, { replace: mappings[0]! });
    await file.flush();
    fs.unlinkSync(path);
    expect(registry.verify()).toEqual([]);
  });
});

describe('a drift', () => {
  itDrifts("is 'missing' where the pages are gone", () => {
    const m = placed(3);
    outside.munmap(m.address + PAGE, pageSize);
    expect(registry.verify()).toEqual([
      {
        kind: 'missing',
        address: m.address + PAGE,
        length: pageSize,
        owner: m,
        mapping: m,
        expected: 'read-write, private, anonymous',
        found: 'nothing',
      },
    ]);
  });

  itDrifts("is 'missing' at the beginning, the end, and for the whole", () => {
    const [first, last, whole] = [placed(2), placed(2), placed(2)];
    outside.munmap(first.address, pageSize);
    outside.munmap(last.address + PAGE, pageSize);
    outside.munmap(whole.address, 2 * pageSize);
    const found = registry.verify().map(({ kind, address, length }) => ({ kind, address, length }));
    expect(found).toEqual([
      { kind: 'missing', address: first.address, length: pageSize },
      { kind: 'missing', address: last.address + PAGE, length: pageSize },
      { kind: 'missing', address: whole.address, length: 2 * pageSize },
    ]);
  });

  itDrifts("is 'protection' where the pages allow something else", () => {
    const m = placed(3);
    outside.mprotect(m.address + PAGE, pageSize, READ);
    expect(registry.verify()).toMatchObject([
      {
        kind: 'protection',
        address: m.address + PAGE,
        length: pageSize,
        expected: 'read-write, private, anonymous',
        found: 'read, private, inode 0',
      },
    ]);
    expect(registry.verify()[0]?.mapping).toBe(m);
    m.protect('read-write');
    expect(registry.verify()).toEqual([]);
  });

  itDrifts('is seen against each run of a mixed protection', () => {
    const m = placed(3);
    m.protect('none', { offset: pageSize, length: pageSize });
    outside.mprotect(m.address, 3 * pageSize, READ);
    expect(
      registry.verify().map(({ expected, address }) => [expected.split(',')[0], address]),
    ).toEqual([
      ['read-write', m.address],
      ['none', m.address + PAGE],
      ['read-write', m.address + 2n * PAGE],
    ]);
  });

  itDrifts("is 'replaced' where something else is there", () => {
    const path = scratch.file(bytes);
    const m = mapFileSync(path, { address: nowhere(4 * pageSize), placement: 'exclusive' });
    outside.mmapFixed(m.address + 2n * PAGE, pageSize, READ);
    expect(registry.verify()).toMatchObject([
      {
        kind: 'replaced',
        address: m.address + 2n * PAGE,
        length: pageSize,
        expected: `read, shared, ${path}`,
        found: 'read, private, inode 0',
      },
    ]);
  });

  itDrifts('is seen for anonymous memory that a file took the place of', () => {
    const m = placed(1);
    const target = m.address;
    outside.munmap(target, pageSize);
    const file = mapFileSync(scratch.file(bytes), {
      address: target,
      placement: 'exclusive',
      length: pageSize,
    });
    // The kernel gave the place away, so the old record is known to be stale.
    expect([file.address, m.state, registry.at(target)]).toEqual([target, 'unmapped', file]);
    expect(registry.verify()).toEqual([]);
  });

  itDrifts('leaves the calls safe: the kernel says what is there', () => {
    const m = placed(2);
    outside.munmap(m.address, pageSize);
    expect(refused(() => m.read(0, 1)).code).toBe('EFAULT');
    expect(refused(() => m.protect('read')).code).toBe('ENOMEM');
    expect(m.read(pageSize, 1)[0]).toBe(0);
    m.unmap();
    expect(modesOf(m.address, 2, pageSize)).toEqual(['----', '----']);
  });

  itDrifts('of memory that is read-only behind our back is EFAULT in write(), not a signal', () => {
    const m = placed(1);
    outside.mprotect(m.address, pageSize, NONE);
    expect(refused(() => m.write(0, 'x'))).toMatchObject({
      code: 'EFAULT',
      syscall: 'process_vm_writev',
    });
  });
});

describe('questions', () => {
  it('mappings() lists what is alive, by address', () => {
    const { mappings } = scattered(3, 1, 2);
    const [third, first, second] = mappings;
    expect(registry.mappings()).toEqual([first, second, third]);
    second!.unmap();
    expect(registry.mappings()).toEqual([first, third]);
  });

  it('at() finds the owner of every byte of a page, hidden ones too', () => {
    const m = mapFileSync(scratch.file(bytes), { offset: 100, length: 50 });
    const start = m.address - 100n;
    expect(
      [start, m.address, m.address + 49n, start + PAGE - 1n].map((at) => registry.at(at) === m),
    ).toEqual([true, true, true, true]);
    expect(registry.at(Number(start))).toBe(m);
    for (const at of [start - 1n, start + PAGE, 0, 2n ** 64n - 1n]) {
      expect(registry.at(at) === m).toBe(false);
    }
  });

  it('overlapping() finds all owners of a range', () => {
    const { address, mappings } = scattered(0, 1, 3);
    const [a, b, c] = mappings;
    expect(registry.overlapping(address, 4 * pageSize)).toEqual([a, b, c]);
    expect(registry.overlapping(address + PAGE - 1n, 2)).toEqual([a, b]);
    expect(registry.overlapping(address + 2n * PAGE, pageSize)).toEqual([]);
    expect(registry.overlapping(address + 5n, 0)).toEqual([]);
    expect(registry.overlapping(0, 2n ** 64n - 1n)).toEqual(registry.mappings());
  });

  it('the answers are copies', () => {
    const m = mapAnonymous(1);
    registry.mappings().length = 0;
    expect(registry.mappings()).toEqual([m]);
  });
});
