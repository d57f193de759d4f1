import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { inspect } from 'node:util';
import { type Mapping, SharedMemory, mapAnonymous, pageSize, registry } from '../../lib/index.js';
import { Scratch } from '../helpers/files.js';
import { regionAt } from '../helpers/kernel.js';
import { kernelSays, memmapSays, refused } from '../helpers/refusals.js';
import { namesLeft, newName, pathOf, removeNames } from '../helpers/shared.js';

const scratch = new Scratch();
const open: SharedMemory[] = [];

/** Closed after the test. */
function kept(shm: SharedMemory): SharedMemory {
  open.push(shm);
  return shm;
}

afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
  for (const shm of open.splice(0)) shm.close();
  removeNames();
});
afterAll(() => {
  scratch.remove();
  expect(namesLeft()).toEqual([]);
});

const make = (size = 1000, more = {}): SharedMemory =>
  kept(SharedMemory.create(newName(), { size, ...more }));
const nameOf = (shm: SharedMemory): string => shm.name ?? '';
const blocksOf = (path: string): number => fs.statSync(path).blocks * 512;

describe('create(name)', () => {
  it('makes what the system calls shared memory: zeros, of this size, allocated, for this user', () => {
    const shm = make(3 * pageSize + 5);
    const path = pathOf(nameOf(shm));
    const status = fs.statSync(path);
    expect([status.size, status.mode & 0o7777, status.uid]).toEqual([
      3 * pageSize + 5,
      0o600,
      process.getuid?.(),
    ]);
    expect(blocksOf(path)).toBe(4 * pageSize);
    expect(fs.readFileSync(path).every((byte) => byte === 0)).toBe(true);
    expect(shm).toMatchObject({ size: 3 * pageSize + 5, access: 'read-write', closed: false });
  });

  it('takes a slash or none, and gives none', () => {
    const name = newName();
    expect(kept(SharedMemory.create(`/${name}`, { size: 1 })).name).toBe(name);
    expect(kept(SharedMemory.open(name)).name).toBe(name);
    expect(kept(SharedMemory.open(`/${name}`)).name).toBe(name);
  });

  it('allocates only where it is asked to', () => {
    const shm = make(50 * pageSize, { allocate: false });
    expect([shm.size, blocksOf(pathOf(nameOf(shm)))]).toEqual([50 * pageSize, 0]);
  });

  it('takes the umask away from the mode', () => {
    const before = process.umask(0o027);
    try {
      const shm = make(1, { mode: 0o666 });
      expect(fs.statSync(pathOf(nameOf(shm))).mode & 0o7777).toBe(0o640);
    } finally {
      process.umask(before);
    }
  });

  it('is EEXIST where there is one, which stays as it is', () => {
    const shm = make(10);
    shm.map().write(0, 'precious');
    const again = refused(() => SharedMemory.create(nameOf(shm), { size: 10 }));
    expect(again).toMatchObject({ ...kernelSays('EEXIST', 'shm_open'), path: shm.name });
    expect(fs.readFileSync(pathOf(nameOf(shm)), 'latin1')).toBe('precious\0\0');
  });

  it('opens the one that is there when it need not be new, if it is long enough', () => {
    const shm = make(10);
    const name = nameOf(shm);
    const other = kept(SharedMemory.create(name, { size: 5, exclusive: false }));
    expect(other.size).toBe(10);
    const short = refused(() => SharedMemory.create(name, { size: 11, exclusive: false }));
    expect(short).toMatchObject({ ...memmapSays('RANGE'), path: name, length: 10 });
    fs.writeFileSync(pathOf(name), '');
    const empty = refused(() => SharedMemory.create(name, { size: 1, exclusive: false }));
    expect(empty).toMatchObject(memmapSays('BUSY'));
    const fresh = newName();
    expect(kept(SharedMemory.create(fresh, { size: 7, exclusive: false })).size).toBe(7);
  });

  it('is filled before anybody sees it', () => {
    const name = newName();
    let seen: unknown;
    let inner: Mapping | undefined;
    const shm = kept(
      SharedMemory.create(name, {
        size: 6,
        initialize(mapping) {
          seen = fs.existsSync(pathOf(name));
          mapping.write(0, 'filled');
          inner = mapping;
        },
      }),
    );
    expect([seen, inner?.state]).toEqual([false, 'unmapped']);
    expect(shm.map().read(0, 6).toString()).toBe('filled');
    let called = false;
    const initialize = () => {
      called = true;
    };
    kept(SharedMemory.create(name, { size: 1, exclusive: false, initialize }));
    expect(called).toBe(false);
  });

  it('leaves nothing when filling it fails', () => {
    const before = fs.readdirSync('/proc/self/fd').length;
    const initialize = () => {
      throw new Error('not today');
    };
    const name = newName();
    expect(() => SharedMemory.create(name, { size: 1, initialize })).toThrow('not today');
    const later = refused(() =>
      // eslint-disable-next-line @typescript-eslint/no-misused-promises -- that is what is wrong with it
      SharedMemory.create(name, { size: 1, initialize: () => Promise.resolve() }),
    );
    expect(later).toMatchObject(memmapSays('ARGUMENT'));
    expect(namesLeft()).toEqual([]);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('says no to names that are none', () => {
    for (const name of ['', '/', '.', '..', '/..', 'a/b', '//a', '/a/', 'a\0b']) {
      for (const call of [
        () => SharedMemory.create(name, { size: 1 }),
        () => SharedMemory.open(name),
        () => SharedMemory.unlink(name),
      ]) {
        expect(refused(call)).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'name' });
      }
    }
    for (const name of [5, undefined, {}, null]) {
      expect(refused(() => SharedMemory.open(name as string))).toMatchObject(
        memmapSays('ARGUMENT'),
      );
    }
    const longest = newName().padEnd(255, 'x');
    expect(kept(SharedMemory.create(longest, { size: 1 })).name).toBe(longest);
    const tooLong = refused(() => SharedMemory.create(`${longest}y`, { size: 1 }));
    expect(tooLong).toMatchObject({ ...memmapSays('RANGE'), argument: 'name' });
    expect(tooLong.message).toContain('255');
    // Bytes count, not letters.
    expect(refused(() => SharedMemory.open('é'.repeat(128)))).toMatchObject(memmapSays('RANGE'));
  });

  it('says no to options that are none', () => {
    const name = newName();
    const wrong: [Record<string, unknown>, string][] = [
      [{}, 'ARGUMENT'],
      [{ size: 0 }, 'RANGE'],
      [{ size: -1 }, 'RANGE'],
      [{ size: 0.5 }, 'RANGE'],
      [{ size: NaN }, 'RANGE'],
      [{ size: 2 ** 53 }, 'RANGE'],
      [{ size: '5' }, 'ARGUMENT'],
      [{ size: 1, mode: 0o1000 }, 'RANGE'],
      [{ size: 1, mode: -1 }, 'RANGE'],
      [{ size: 1, mode: 0.5 }, 'RANGE'],
      [{ size: 1, mode: '600' }, 'ARGUMENT'],
      [{ size: 1, lifetime: 'session' }, 'ARGUMENT'],
      [{ size: 1, exclusive: 1 }, 'ARGUMENT'],
      [{ size: 1, initialize: 5 }, 'ARGUMENT'],
      [{ size: 1, timeout: NaN }, 'RANGE'],
      [{ size: 1, colour: 'red' }, 'ARGUMENT'],
    ];
    for (const [options, kind] of wrong) {
      const call = () => SharedMemory.create(name, options as { size: number });
      expect(refused(call)).toMatchObject(memmapSays(kind));
    }
    for (const option of ['mode', 'exclusive', 'lifetime', 'timeout']) {
      const call = () => SharedMemory.create(null, { size: 1, [option]: 1 });
      expect(refused(call)).toMatchObject(memmapSays('ARGUMENT'));
    }
    expect(namesLeft()).toEqual([]);
  });
});

describe('open(name)', () => {
  it('is ENOENT for what is not there, and after unlink', () => {
    const name = newName();
    const gone = { ...kernelSays('ENOENT', 'shm_open'), path: name };
    expect(refused(() => SharedMemory.open(name))).toMatchObject(gone);
    const shm = kept(SharedMemory.create(name, { size: 8 }));
    const m = shm.map();
    m.write(0, 'still');
    shm.unlink();
    expect(refused(() => SharedMemory.open(name))).toMatchObject(gone);
    expect(refused(() => shm.unlink())).toMatchObject(kernelSays('ENOENT', 'shm_unlink'));
    expect(refused(() => SharedMemory.unlink(name))).toMatchObject(
      kernelSays('ENOENT', 'shm_unlink'),
    );
    expect(m.read(0, 5).toString()).toBe('still');
    expect(shm.map().read(0, 5).toString()).toBe('still');
  });

  it('unlinks its own object only', () => {
    const shm = make();
    const name = nameOf(shm);
    SharedMemory.unlink(name);
    const second = kept(SharedMemory.create(name, { size: 1 }));
    expect(refused(() => shm.unlink())).toMatchObject(kernelSays('ENOENT', 'shm_unlink'));
    second.unlink();
    expect(namesLeft()).toEqual([]);
  });

  it('waits for a size, for so long', () => {
    const name = newName();
    fs.writeFileSync(pathOf(name), '');
    const early = refused(() => SharedMemory.open(name));
    expect(early).toMatchObject({ ...memmapSays('BUSY'), path: name });
    expect(refused(() => SharedMemory.open(name, { timeout: 30 }))).toMatchObject(
      memmapSays('BUSY'),
    );
    execFileSync('truncate', ['-s', '10', pathOf(name)]);
    expect(kept(SharedMemory.open(name)).size).toBe(10);
  });

  it('opens for reading only, and then nothing can be written', () => {
    const shm = make();
    const reader = kept(SharedMemory.open(nameOf(shm), { access: 'read' }));
    expect(reader.access).toBe('read');
    const m = reader.map();
    expect(m.access).toBe('read');
    shm.map().write(0, 'x');
    expect(m.read(0, 1).toString()).toBe('x');
    expect(refused(() => reader.map({ access: 'read-write' }))).toMatchObject({
      ...kernelSays('EACCES', 'mmap'),
      path: shm.name,
    });
    expect(refused(() => m.protect('read-write'))).toMatchObject(kernelSays('EACCES', 'mprotect'));
  });

  it('does not follow links, and opens nothing but files', () => {
    const [link, fifo] = [newName('link'), newName('fifo')];
    const target = scratch.file('secret');
    fs.symlinkSync(target, pathOf(link));
    execFileSync('mkfifo', [pathOf(fifo)]);
    expect(refused(() => SharedMemory.open(link))).toMatchObject(kernelSays('ELOOP', 'shm_open'));
    expect(refused(() => SharedMemory.create(link, { size: 1, exclusive: false }))).toMatchObject(
      kernelSays('ELOOP', 'shm_open'),
    );
    expect(refused(() => SharedMemory.open(fifo))).toMatchObject(kernelSays('EINVAL', 'shm_open'));
    expect(fs.readFileSync(target, 'utf8')).toBe('secret');
  });
});

describe('map()', () => {
  it('is a Mapping like that of a file, known by its name', () => {
    const shm = make(2 * pageSize);
    const m = shm.map();
    expect(m).toMatchObject({ length: 2 * pageSize, path: shm.name, access: 'read-write' });
    expect(regionAt(m.address)).toMatchObject({ mode: 'rw-s', path: pathOf(nameOf(shm)) });
    m.buffer.write('both', pageSize - 2);
    const part = shm.map({ offset: pageSize - 2, length: 4, access: 'read' });
    expect(part.buffer.toString()).toBe('both');
    expect(part.fileOffset).toBe(BigInt(pageSize - 2));
    const copy = shm.map({ access: 'copy-on-write' });
    copy.write(pageSize - 2, 'mine');
    expect(part.read(0, 4).toString()).toBe('both');
    expect(
      shm
        .map({ access: 'snapshot' })
        .read(pageSize - 2, 4)
        .toString(),
    ).toBe('both');
  });

  it('says no beyond the end, and to what is not of shared memory', () => {
    const shm = make(10);
    expect(refused(() => shm.map({ length: 11 }))).toMatchObject({
      ...memmapSays('RANGE'),
      path: shm.name,
    });
    expect(refused(() => shm.map({ offset: 11 }))).toMatchObject(memmapSays('RANGE'));
    const create = { create: true } as Record<string, unknown>;
    expect(refused(() => shm.map(create))).toMatchObject(memmapSays('ARGUMENT'));
    expect(() => Reflect.apply(SharedMemory.prototype.map, {}, [])).toThrow(TypeError);
  });

  it('grows with the object, also when that is closed and when its name is gone', () => {
    const shm = make(pageSize);
    const m = shm.map();
    m.resize(3 * pageSize);
    m.write(2 * pageSize, 'far');
    expect(fs.statSync(pathOf(nameOf(shm))).size).toBe(3 * pageSize);
    shm.close();
    m.resize(4 * pageSize);
    expect(fs.statSync(pathOf(m.path ?? '')).size).toBe(4 * pageSize);
    SharedMemory.unlink(m.path ?? '');
    // Another one of that name is none of its business.
    const other = kept(SharedMemory.create(m.path ?? '', { size: 1 }));
    expect(refused(() => m.resize(5 * pageSize))).toMatchObject(memmapSays('RANGE'));
    expect([other.size, m.length]).toEqual([1, 4 * pageSize]);
  });
});

describe('create(null)', () => {
  it("makes memory without a name that cannot shrink, in the kernel's own books", () => {
    const shm = kept(SharedMemory.create(null, { size: pageSize + 1 }));
    expect(shm.name).toBeUndefined();
    expect(fs.readlinkSync(`/proc/self/fd/${shm.fd}`)).toBe('/memfd:memmap (deleted)');
    expect(fs.fstatSync(shm.fd)).toMatchObject({ size: pageSize + 1 });
    expect(fs.fstatSync(shm.fd).blocks * 512).toBe(2 * pageSize);
    expect(shm.seals).toContain('shrink');
    expect(shm.seals).not.toContain('grow');
    expect(() => fs.ftruncateSync(shm.fd, 1)).toThrow(expect.objectContaining({ code: 'EPERM' }));
    expect(refused(() => shm.unlink())).toMatchObject(memmapSays('UNSUPPORTED'));
    const info = fs.readFileSync(`/proc/self/fdinfo/${shm.fd}`, 'utf8');
    const flags = parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '', 8);
    expect(flags & fs.constants.O_RDWR).toBe(fs.constants.O_RDWR);
    expect(flags & 0o2000000).not.toBe(0);
  });

  it('is filled, and grows', () => {
    const shm = kept(
      SharedMemory.create(null, {
        size: 5,
        initialize: (mapping) => void mapping.write(0, 'hello'),
      }),
    );
    const m = shm.map();
    expect(m.read(0, 5).toString()).toBe('hello');
    m.resize(2 * pageSize);
    expect([shm.size, m.read(0, 5).toString()]).toEqual([2 * pageSize, 'hello']);
    shm.seal('grow');
    expect(refused(() => m.resize(9 * pageSize))).toMatchObject(kernelSays('EPERM', 'fallocate'));
  });

  it('is ENOMEM for more than the machine has', () => {
    const huge = refused(() => SharedMemory.create(null, { size: 2 ** 50 }));
    expect(huge).toMatchObject(kernelSays('ENOMEM', 'fallocate'));
    const sparse = kept(SharedMemory.create(null, { size: 2 ** 40, allocate: false }));
    expect(sparse.size).toBe(2 ** 40);
  });

  it('takes seals, all of them or none', () => {
    const shm = kept(SharedMemory.create(null, { size: pageSize }));
    const m = shm.map();
    const busy = refused(() => shm.seal('write', 'grow'));
    expect(busy).toMatchObject(kernelSays('EBUSY', 'fcntl'));
    expect(shm.seals).not.toContain('grow');
    shm.seal('future-write', 'seal');
    expect(shm.seals).toEqual(expect.arrayContaining(['shrink', 'future-write', 'seal']));
    m.buffer.write('the creator still writes');
    expect(m.read(0, 11).toString()).toBe('the creator');
    expect(refused(() => shm.seal('grow'))).toMatchObject(kernelSays('EPERM', 'fcntl'));
    expect(refused(() => shm.seal())).toMatchObject(memmapSays('ARGUMENT'));
    expect(refused(() => shm.seal('shut' as 'seal'))).toMatchObject(memmapSays('ARGUMENT'));
    const named = make();
    expect(named.seals).toEqual(['seal']);
    expect(refused(() => named.seal('grow'))).toMatchObject(kernelSays('EPERM', 'fcntl'));
  });
});

describe('fromFd() and fromProcess()', () => {
  it('have a descriptor of their own', () => {
    const path = scratch.file('a file is shared memory too');
    const fd = fs.openSync(path, 'r');
    const shm = kept(SharedMemory.fromFd(fd));
    expect(shm.fd).not.toBe(fd);
    expect(shm).toMatchObject({ name: undefined, size: 27, access: 'read' });
    fs.closeSync(fd);
    expect(shm.map().read(0, 6).toString()).toBe('a file');
    const ours = fs.openSync(path, 'r+');
    kept(SharedMemory.fromFd(ours)).close();
    expect(fs.fstatSync(ours).size).toBe(27);
    fs.closeSync(ours);
  });

  it('see the memory of a descriptor', () => {
    const shm = kept(SharedMemory.create(null, { size: 10 }));
    const m = shm.map();
    m.write(0, 'same');
    const other = kept(SharedMemory.fromFd(shm.fd));
    const byProcess = kept(SharedMemory.fromProcess(process.pid, shm.fd));
    const reader = kept(SharedMemory.fromProcess(process.pid, shm.fd, { access: 'read' }));
    for (const each of [other, byProcess, reader])
      expect(each.map().read(0, 4).toString()).toBe('same');
    expect([other.access, byProcess.access, reader.access]).toEqual([
      'read-write',
      'read-write',
      'read',
    ]);
    expect(refused(() => reader.seal('grow'))).toMatchObject(kernelSays('EPERM', 'fcntl'));
    expect(other.seals).toEqual(shm.seals);
  });

  it('say no to what is none', () => {
    const path = scratch.file('x');
    const writer = fs.openSync(path, 'a');
    const folder = fs.openSync(scratch.folder, 'r');
    for (const fd of [writer, folder]) {
      expect(refused(() => SharedMemory.fromFd(fd))).toMatchObject(memmapSays('ARGUMENT'));
      fs.closeSync(fd);
    }
    expect(refused(() => SharedMemory.fromFd(-1))).toMatchObject(kernelSays('EBADF', 'fcntl'));
    for (const fd of [NaN, 0.5, 2 ** 31, 2 ** 53]) {
      expect(refused(() => SharedMemory.fromFd(fd))).toMatchObject(memmapSays('RANGE'));
      expect(refused(() => SharedMemory.fromProcess(1, fd))).toMatchObject(memmapSays('RANGE'));
    }
    expect(refused(() => SharedMemory.fromProcess(process.pid, 9999))).toMatchObject({
      ...kernelSays('ENOENT', 'open'),
      path: `/proc/${process.pid}/fd/9999`,
    });
    for (const pid of [0, -1]) {
      expect(refused(() => SharedMemory.fromProcess(pid, 0))).toMatchObject(memmapSays('ARGUMENT'));
    }
  });
});

describe('a closed one', () => {
  it('is closed for everything, and its mappings stay', () => {
    const shm = make();
    const m = shm.map();
    const { fd } = shm;
    expect(inspect(shm)).toBe(`SharedMemory { '${shm.name}', 1000 bytes, read-write }`);
    shm.close();
    shm.close();
    expect(inspect(shm)).toBe(`SharedMemory { '${m.path}', closed }`);
    expect([shm.closed, shm.name]).toEqual([true, m.path]);
    // The number is somebody else's now: it must never be used again.
    const file = scratch.file('not yours');
    const opened: number[] = [];
    do opened.push(fs.openSync(file, 'r+'));
    while (!opened.includes(fd) && opened.length < 100);
    expect(opened).toContain(fd);
    const closed = memmapSays('CLOSED');
    for (const call of [
      () => shm.size,
      () => shm.fd,
      () => shm.access,
      () => shm.seals,
      () => shm.map(),
      () => shm.seal('grow'),
      () => shm.unlink(),
    ]) {
      expect(refused(call)).toMatchObject(closed);
    }
    shm.close();
    expect(fs.readFileSync(fd, 'utf8')).toBe('not yours');
    for (const each of opened) fs.closeSync(each);
    m.write(0, 'works');
    expect(m.read(0, 5).toString()).toBe('works');
  });

  it('is what `using` leaves', () => {
    const shm = kept(SharedMemory.create(null, { size: 1 }));
    shm[Symbol.dispose]();
    expect(shm.closed).toBe(true);
    expect(inspect(Object.create(SharedMemory.prototype))).toBe('SharedMemory {}');
    const Made = SharedMemory as unknown as new (...args: unknown[]) => unknown;
    expect(refused(() => new Made(Symbol('memmap'), shm))).toMatchObject(memmapSays('ARGUMENT'));
  });
});

describe('list()', () => {
  it('has every name, whoever made it, and nothing else', () => {
    const ours = make(10, { mode: 0o640 });
    const theirs = newName('python');
    fs.writeFileSync(pathOf(theirs), 'abc', { mode: 0o600 });
    const others = [newName('folder'), newName('link')] as const;
    fs.mkdirSync(pathOf(others[0]));
    fs.symlinkSync('/nowhere', pathOf(others[1]));
    const semaphore = `sem.${newName()}`;
    fs.writeFileSync(pathOf(semaphore), 'abc');
    const mine = new Map(SharedMemory.list().map((entry) => [entry.name, entry]));
    fs.rmSync(pathOf(semaphore));
    fs.rmdirSync(pathOf(others[0]));
    const who = { uid: process.getuid?.(), gid: process.getgid?.(), lifetime: 'kernel' };
    expect(mine.get(nameOf(ours))).toEqual({ name: ours.name, size: 10, mode: 0o640, ...who });
    expect(mine.get(theirs)).toEqual({ name: theirs, size: 3, mode: 0o600, ...who });
    for (const name of [...others, semaphore]) expect(mine.has(name)).toBe(false);
  });
});

it('mapAnonymous is no shared memory that could be passed on', () => {
  const m = mapAnonymous(10, { shared: true });
  expect(refused(() => m.lockFile('shared'))).toMatchObject(memmapSays('UNSUPPORTED'));
});
