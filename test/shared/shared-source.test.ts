import type { Mapping } from '../../lib/index.js';
import {
  SharedMemory,
  mapAnonymous,
  pageSize,
  registry,
  reserve,
  type Source,
} from '../../lib/index.js';
import { regionAt } from '../helpers/kernel.js';
import { kernelSays, memmapSays, refused } from '../helpers/refusals.js';

const r = reserve(4 * pageSize);
const shm = SharedMemory.create(null, { size: 2 * pageSize });
const whole = shm.map();

afterAll(() => {
  whole.unmap();
  shm.close();
  r.release();
  expect(registry.verify()).toEqual([]);
});

it('places shared memory: what is written at one address is read at all of them', () => {
  const a = r.place(0, { shared: shm });
  const b = r.place(2 * pageSize, { shared: shm, offset: pageSize, length: 10, access: 'read' });
  expect([a.access, a.length, b.access, b.length]).toEqual([
    'read-write',
    2 * pageSize,
    'read',
    10,
  ]);
  whole.buffer.write('shared', pageSize);
  expect(b.buffer.toString('latin1', 0, 6)).toBe('shared');
  r.view(0, 2 * pageSize).write('back', pageSize);
  expect(whole.buffer.toString('latin1', pageSize, pageSize + 4)).toBe('back');
  expect(regionAt(a.address).mode).toBe('rw-s');
  expect(regionAt(b.address).mode).toBe('r--s');
  r.vacate(0, 4 * pageSize);
});

it('places several parts at once, in another order: all or nothing', () => {
  whole.buffer.fill('A', 0, pageSize).fill('B', pageSize);
  r.placeAll([
    { offset: 0, source: { shared: shm, offset: pageSize } },
    { offset: pageSize, source: { shared: shm, length: pageSize } },
  ]);
  const seen = r.view(0, 2 * pageSize);
  expect([seen[0], seen[pageSize]]).toEqual([66, 65]);
  const pieces = [
    { offset: 2 * pageSize, source: { anonymous: pageSize } },
    { offset: 3 * pageSize, source: { shared: shm, offset: 3 * pageSize } },
  ];
  expect(refused(() => r.placeAll(pieces))).toMatchObject(memmapSays('RANGE'));
  expect(r.layout().at(-1)).toEqual({
    offset: 2 * pageSize,
    length: 2 * pageSize,
    mapping: undefined,
  });
  r.vacate(0, 4 * pageSize);
});

it('replaces the contents of a mapping by shared memory', () => {
  const m = mapAnonymous(2 * pageSize);
  const kept = m.buffer;
  whole.buffer.write('new', 0);
  m.replace({ shared: shm });
  expect(kept.toString('latin1', 0, 3)).toBe('new');
  kept.write('old', 0);
  expect(whole.buffer.toString('latin1', 0, 3)).toBe('old');
  m.unmap();
});

it('keeps the memory when the SharedMemory is closed, and shows its name', () => {
  const named = SharedMemory.create(`memmap-test-${String(process.pid)}-source`, { size: 1 });
  named.unlink();
  const m: Mapping = r.place(0, { shared: named });
  const { name } = named;
  named.close();
  expect(m.path).toBe(name);
  expect(m.buffer.length).toBe(1);
  expect(refused(() => r.place(pageSize, { shared: named }))).toMatchObject(memmapSays('CLOSED'));
  r.vacate(0, pageSize);
});

it('says what a source may be', () => {
  const place = (source: unknown) => () => r.place(0, source as Source);
  expect(refused(place({ shared: shm, anonymous: 1 }))).toMatchObject({
    ...memmapSays('ARGUMENT'),
    message: 'source must have one of file, shared and anonymous',
  });
  for (const shared of [null, 1, 'name', {}, whole]) {
    expect(refused(place({ shared }))).toMatchObject({
      ...memmapSays('ARGUMENT'),
      argument: 'source.shared',
    });
  }
  const odd = SharedMemory.create(null, { size: pageSize });
  Object.defineProperty(odd, 'access', { value: 'execute' });
  expect(refused(place({ shared: odd }))).toMatchObject({ argument: 'source.access' });
  expect(refused(place({ shared: shm, access: null }))).toMatchObject({
    argument: 'source.access',
  });
  odd.close();
  const reader = SharedMemory.create(null, { size: pageSize });
  reader.seal('write');
  expect(refused(place({ shared: reader }))).toMatchObject(kernelSays('EPERM', 'mmap'));
  reader.close();
});
