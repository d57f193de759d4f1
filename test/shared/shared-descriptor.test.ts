import fs from 'node:fs';
import { setTimeout as later } from 'node:timers/promises';
import { inspect } from 'node:util';
import { SharedMemory, mapFile, pageSize, registry, reserve } from '../../lib/index.js';
import { Scratch, descriptorsOf } from '../helpers/files.js';
import { kernelSays, memmapSays, refused } from '../helpers/refusals.js';
import { namesLeft, newName, removeNames } from '../helpers/shared.js';

const scratch = new Scratch();
const files: number[] = [];

afterEach(() => {
  for (const mapping of registry.mappings()) mapping.unmap();
  for (const fd of files.splice(0)) fs.closeSync(fd);
  removeNames();
});
afterAll(() => {
  scratch.remove();
  expect(namesLeft()).toEqual([]);
  expect(registry.verify()).toEqual([]);
});

/** Opens a file of somebody else's, which gets the lowest number that is free. */
function openStranger(): { path: string; fd: number } {
  const path = scratch.file(Buffer.alloc(3 * pageSize, 'S'));
  const fd = fs.openSync(path, 'r+');
  files.push(fd);
  return { path, fd };
}

describe('a SharedMemory that is closed while its file is used', () => {
  it.each([
    ['grown', { size: 64 * pageSize }],
    ['populated', { populate: true }],
  ])('is mapped itself, being %s, and not what has its number by then', async (_, options) => {
    const shm = SharedMemory.create(null, { size: 2 * pageSize });
    shm.map().write(0, 'mine');
    const before = shm.fd;
    const mapping = mapFile(shm, { access: 'read-write', ...options });
    shm.close();
    const { path, fd } = openStranger();
    expect(fd).toBe(before);
    const m = await mapping;
    expect(m.read(0, 4).toString()).toBe('mine');
    m.write(0, 'ours');
    expect(fs.readFileSync(path).equals(Buffer.alloc(3 * pageSize, 'S'))).toBe(true);
  });

  it('is placed itself, also when a getter of the next piece closes it', () => {
    const shm = SharedMemory.create(newName(), { size: pageSize });
    shm.map().write(0, 'mine');
    const r = reserve(4 * pageSize);
    const other = openStranger();
    const before = shm.fd;
    let stranger = other;
    const closing = {
      get fd() {
        shm.close();
        stranger = openStranger();
        return other.fd;
      },
    };
    const [first, second] = r.placeAll([
      { offset: 0, source: { shared: shm } },
      { offset: pageSize, source: { file: closing, length: 10 } },
    ]);
    expect(stranger.fd).toBe(before);
    expect([first, second].map((m) => m?.read(0, 4).toString())).toEqual(['mine', 'SSSS']);
    // The other way round it is closed before it is asked.
    const again = SharedMemory.create(null, { size: pageSize });
    const late = {
      get fd() {
        again.close();
        return other.fd;
      },
    };
    const placing = refused(() =>
      r.placeAll([
        { offset: 2 * pageSize, source: { file: late, length: 10 } },
        { offset: 3 * pageSize, source: { shared: again, access: 'read-write' } },
      ]),
    );
    expect(placing).toMatchObject(memmapSays('CLOSED'));
    r.release();
  });

  it('leaves no descriptor behind', async () => {
    const shm = SharedMemory.create(null, { size: pageSize });
    const asFile = shm as unknown as { fd: number };
    const before = descriptorsOf(shm.fd);
    for (let n = 0; n < 10; n++) {
      (await mapFile(asFile)).unmap();
      await expect(mapFile(asFile, { offset: 10 * pageSize })).rejects.toMatchObject(
        memmapSays('RANGE'),
      );
    }
    expect(descriptorsOf(shm.fd)).toBe(before);
    shm.close();
  });
});

describe('resize', () => {
  it('uses the descriptor that is open', () => {
    const shm = SharedMemory.create(newName(), { size: 2 * pageSize, mode: 0 });
    const m = shm.map({ length: pageSize });
    // Whatever has the name by now is not it.
    shm.unlink();
    m.resize(2 * pageSize);
    m.resize(5 * pageSize);
    expect([m.length, shm.size]).toEqual([5 * pageSize, 5 * pageSize]);
    shm.close();
    m.resize(pageSize);
    expect(refused(() => m.resize(6 * pageSize))).toMatchObject(memmapSays('RANGE'));
    expect(m.length).toBe(pageSize);
  });
});

describe('names', () => {
  it.each(['.memmap-x', '/.memmap-', 'sem.x', '/sem.', '\ud800', 'a\udc00b'])(
    'refuses %j, which is the name of something else',
    (name) => {
      const calls = [
        () => SharedMemory.create(name, { size: 1 }),
        () => SharedMemory.create(name, { size: 1, exclusive: false }),
        () => SharedMemory.open(name),
        () => SharedMemory.unlink(name),
      ];
      for (const call of calls) {
        expect(refused(call)).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'name' });
      }
    },
  );

  it.each(['.memmap', 'memmap-x', 'semaphore', 'sem', '\u{1f600}', '\ufffd'])(
    'takes %j',
    (ending) => {
      const before = newName();
      const [head, name] =
        ending.startsWith('.') || ending.startsWith('sem')
          ? ['', `${ending}${before}`]
          : [before, before + ending];
      const shm = SharedMemory.create(name, { size: 1 });
      expect([shm.name, head === '' || shm.name?.startsWith(head)]).toEqual([name, true]);
      expect(SharedMemory.list().some((entry) => entry.name === name)).toBe(true);
      shm.unlink();
      shm.close();
    },
  );
});

describe('create(null)', () => {
  it("is ENOMEM beyond the container's memory, where the kernel would kill", () => {
    const limit = jest.spyOn(process, 'constrainedMemory').mockReturnValue(10 * pageSize);
    try {
      const making = refused(() => SharedMemory.create(null, { size: 11 * pageSize }));
      expect(making).toMatchObject(kernelSays('ENOMEM', 'fallocate'));
      SharedMemory.create(null, { size: 10 * pageSize }).close();
      SharedMemory.create(null, { size: 11 * pageSize, allocate: false }).close();
      limit.mockReturnValue(0);
      SharedMemory.create(null, { size: 11 * pageSize }).close();
    } finally {
      limit.mockRestore();
    }
  });
});

it('shows what has become of a descriptor that somebody else closed', () => {
  const shm = SharedMemory.create(null, { size: 1 });
  const stolen = shm.fd;
  fs.closeSync(stolen);
  expect(inspect(shm)).toMatch(/^SharedMemory \{ no name, EBADF/);
  expect(fs.openSync('/dev/null', 'r')).toBe(stolen);
  shm.close();
});

it('a lock alone keeps an object of lifetime processes', async () => {
  const name = newName();
  const shm = SharedMemory.create(name, { size: 1, lifetime: 'processes' });
  const m = shm.map();
  const lock = m.lockFile('exclusive');
  m.unmap();
  shm.close();
  await later(100);
  expect(refused(() => SharedMemory.create(name, { size: 1 }))).toMatchObject({ code: 'EEXIST' });
  lock.unlock();
  while (namesLeft().includes(name)) await later(5);
});
