import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import {
  type FileLock,
  type Mapping,
  SharedMemory,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
} from '../../lib/index.js';
import { Scratch, descriptorsOf } from '../helpers/files.js';
import { kernelSays, memmapSays, refused, refusedLater } from '../helpers/refusals.js';
import { newName, removeNames } from '../helpers/shared.js';

const scratch = new Scratch();
const locks: FileLock[] = [];
const children: { child: ChildProcess; closed: Promise<unknown> }[] = [];

const held = (lock: FileLock): FileLock => {
  locks.push(lock);
  return lock;
};
const path = scratch.file(Buffer.alloc(3 * pageSize));
const map = (options = {}): Mapping => mapFileSync(path, { access: 'read-write', ...options });
const taken = kernelSays('EAGAIN', 'fcntl');

afterEach(async () => {
  for (const lock of locks.splice(0)) lock.unlock();
  for (const mapping of registry.mappings()) mapping.unmap();
  for (const { child, closed } of children.splice(0)) {
    // Until then its locks are its own.
    child.kill('SIGKILL');
    await closed;
  }
});
afterAll(() => {
  scratch.remove();
  removeNames();
});

// Python's fcntl.lockf: locks of a process, which exclude those of open files. Answers 'free' or
// 'taken' to each line 'kind start length', and keeps what it got.
const PYTHON = `
import fcntl, sys
f = open(sys.argv[1], 'r+b')
for line in sys.stdin:
    kind, start, length = line.split()
    how = {'shared': fcntl.LOCK_SH, 'exclusive': fcntl.LOCK_EX, 'none': fcntl.LOCK_UN}[kind]
    try:
        fcntl.lockf(f, how | (0 if kind == 'none' else fcntl.LOCK_NB), int(length), int(start))
        print('free', flush=True)
    except OSError:
        print('taken', flush=True)
`;

function python(file: string) {
  const child = spawn('python3', ['-c', PYTHON, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push({ child, closed: once(child, 'close') });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async locks(kind: string, start: number, length: number): Promise<unknown> {
      child.stdin.write(`${kind} ${start} ${length}\n`);
      const answer: unknown = (await lines.next()).value;
      return answer;
    },
  };
}

describe('lockFile', () => {
  it('excludes others, also in this process, unless both share', () => {
    const [a, b] = [map(), map()];
    const first = held(a.lockFile('shared'));
    const second = held(b.lockFile('shared'));
    expect(refused(() => b.lockFile('exclusive'))).toMatchObject({ ...taken, path });
    first.unlock();
    second[Symbol.dispose]();
    expect([first.held, second.held]).toEqual([false, false]);
    const alone = held(a.lockFile('exclusive'));
    expect(alone).toMatchObject({
      kind: 'exclusive',
      fileOffset: 0n,
      length: 3 * pageSize,
      held: true,
    });
    for (const each of [a, b]) expect(refused(() => each.lockFile('shared'))).toMatchObject(taken);
    alone.unlock();
    alone.unlock();
    held(b.lockFile('exclusive'));
  });

  it('locks bytes of the file, wherever the mapping begins', async () => {
    const window = map({ offset: 100, length: 200 });
    const lock = held(window.lockFile('exclusive', { offset: 50, length: 10 }));
    expect(lock).toMatchObject({ fileOffset: 150n, length: 10 });
    const other = python(path);
    expect(await other.locks('exclusive', 149, 1)).toBe('free');
    expect(await other.locks('shared', 150, 1)).toBe('taken');
    expect(await other.locks('shared', 159, 1)).toBe('taken');
    expect(await other.locks('exclusive', 160, 1000)).toBe('free');
    lock.unlock();
    expect(await other.locks('exclusive', 150, 10)).toBe('free');
    expect(refused(() => window.lockFile('shared', { offset: 50, length: 1 }))).toMatchObject(
      taken,
    );
    held(window.lockFile('exclusive', { offset: 0, length: 49 }));
  });

  it('lasts longer than the mapping, and as long as the process', async () => {
    const m = map();
    const lock = held(m.lockFile('exclusive'));
    m.unmap();
    expect(refused(() => m.lockFile('shared'))).toMatchObject(memmapSays('UNMAPPED'));
    const other = python(path);
    expect(await other.locks('exclusive', 0, 1)).toBe('taken');
    lock.unlock();
    expect(await other.locks('exclusive', 0, 1)).toBe('free');
    expect(refused(() => map().lockFile('exclusive'))).toMatchObject(taken);
    other.child.kill('SIGKILL');
    await once(other.child, 'exit');
    held(map().lockFile('exclusive'));
  });

  it('is given back at once, also while children are being started', async () => {
    const [a, b] = [map(), map()];
    const closed: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++) {
      const lock = a.lockFile('exclusive');
      closed.push(once(spawn('true'), 'close'));
      lock.unlock();
      b.lockFile('exclusive').unlock();
    }
    await Promise.all(closed);
  });

  it('waits, until it has it, until it is told not to, until its time is over', async () => {
    const [a, b] = [map(), map()];
    const first = held(a.lockFile('exclusive'));
    const waiting = b.lockFile('shared', undefined, { wait: true });
    const late = b.lockFile('shared', undefined, { wait: true, timeout: 20 });
    expect(await refusedLater(late)).toMatchObject({ ...memmapSays('TIMEOUT'), path });
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = b.lockFile('shared', undefined, { wait: true, signal });
    const reason = new Error('no longer');
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    const never = b.lockFile('shared', undefined, { wait: true, signal });
    await expect(never).rejects.toBe(reason);
    first.unlock();
    const got = held(await waiting);
    expect(got).toMatchObject({ kind: 'shared', held: true });
    expect(refused(() => a.lockFile('exclusive'))).toMatchObject(taken);
  });

  it('leaves no descriptor behind when it fails', async () => {
    const [a, b] = [map(), map()];
    const before = descriptorsOf(path);
    const lock = a.lockFile('exclusive');
    for (let time = 0; time < 20; time++) refused(() => b.lockFile('shared'));
    await refusedLater(b.lockFile('shared', undefined, { wait: true, timeout: 5 }));
    lock.unlock();
    expect(descriptorsOf(path)).toBe(before);
  });

  it('is ESTALE when another file has its name, ENOENT when none has', () => {
    const moved = scratch.file('abc');
    const m = mapFileSync(moved);
    fs.renameSync(moved, `${moved}.old`);
    expect(refused(() => m.lockFile('shared'))).toMatchObject(kernelSays('ENOENT', 'open'));
    fs.writeFileSync(moved, 'another');
    expect(refused(() => m.lockFile('shared'))).toMatchObject({
      ...kernelSays('ESTALE', 'open'),
      path: moved,
    });
    fs.renameSync(`${moved}.old`, moved);
    held(m.lockFile('shared'));
  });

  it('says no where there is no file to lock, or none that can be found', () => {
    const fd = fs.openSync(path, 'r');
    const mappings = [mapAnonymous(10), mapAnonymous(10, { shared: true }), mapFileSync(fd)];
    fs.closeSync(fd);
    for (const m of mappings) {
      expect(refused(() => m.lockFile('shared'))).toMatchObject(memmapSays('UNSUPPORTED'));
    }
    const m = map();
    const wrong: [unknown, unknown, unknown, string][] = [
      ['both', undefined, undefined, 'ARGUMENT'],
      [undefined, undefined, undefined, 'ARGUMENT'],
      ['shared', { length: 0 }, undefined, 'RANGE'],
      ['shared', { offset: -1 }, undefined, 'RANGE'],
      ['shared', { offset: NaN }, undefined, 'RANGE'],
      ['shared', { offset: 2 ** 53 }, undefined, 'RANGE'],
      ['shared', { offset: 0.5 }, undefined, 'RANGE'],
      ['shared', { offset: 3 * pageSize, length: 1 }, undefined, 'RANGE'],
      ['shared', undefined, { wait: 1 }, 'ARGUMENT'],
      ['shared', undefined, { timeout: 5 }, 'ARGUMENT'],
      ['shared', undefined, { wait: true, timeout: -1 }, 'RANGE'],
      ['shared', undefined, { wait: true, timeout: NaN }, 'RANGE'],
      ['shared', undefined, { wait: true, signal: {} }, 'ARGUMENT'],
      ['shared', undefined, { block: true }, 'ARGUMENT'],
    ];
    for (const [kind, range, options, code] of wrong) {
      const call = () => m.lockFile(kind as 'shared', range as object, options as object);
      expect(refused(call)).toMatchObject(memmapSays(code));
    }
  });

  it('locks shared memory by its name or its descriptor', () => {
    const shm = SharedMemory.create(newName(), { size: pageSize });
    const [a, b] = [shm.map(), SharedMemory.open(shm.name ?? '').map()];
    held(a.lockFile('exclusive', { length: 10 }));
    expect(refused(() => b.lockFile('shared', { length: 1 }))).toMatchObject(taken);
    held(b.lockFile('exclusive', { offset: 10 }));
    shm.close();
    expect(refused(() => a.lockFile('shared', { offset: 10 }))).toMatchObject(taken);
    SharedMemory.unlink(a.path ?? '');
    expect(refused(() => a.lockFile('shared'))).toMatchObject(memmapSays('UNSUPPORTED'));
    const memory = SharedMemory.create(null, { size: pageSize });
    const [c, d] = [memory.map(), memory.map()];
    held(c.lockFile('exclusive'));
    expect(refused(() => d.lockFile('shared'))).toMatchObject(taken);
    memory.close();
    expect(refused(() => d.lockFile('shared'))).toMatchObject(memmapSays('UNSUPPORTED'));
  });

  const [rootReads, reason] = [process.getuid?.() === 0, 'root may write every file'];
  if (rootReads) process.stderr.write(`skipped: exclusive locks of read-only files: ${reason}\n`);
  (rootReads ? it.skip : it)('needs a writable file to be exclusive', () => {
    const readOnly = scratch.file('abc');
    fs.chmodSync(readOnly, 0o400);
    const m = mapFileSync(readOnly);
    expect(refused(() => m.lockFile('exclusive'))).toMatchObject(kernelSays('EACCES', 'open'));
    held(m.lockFile('shared'));
  });
});
