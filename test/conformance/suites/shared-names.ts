// Shared memory by name: what the Open POSIX Test Suite, glibc, FreeBSD and CPython assert of it.
import assert from 'node:assert/strict';
import { existsSync, fstatSync, ftruncateSync, readFileSync, rmSync } from 'node:fs';
import { answer } from '../kit.js';
import type { Suite, Tools } from '../case.js';
import { because, casesOf, memmap, mustRefuse, nobody, textOf } from '../tools.js';

const { SharedMemory } = memmap;

let count = 0;
const newName = (): string => `memmap-conformance-${process.pid}-${++count}`;

/** A new object, which is unlinked and closed at the end of the block. */
function object(size = 1024, options: { mode?: number } = {}) {
  const name = newName();
  const shm = SharedMemory.create(name, { size, ...options });
  const remove = (): void => {
    shm.close();
    rmSync(`/dev/shm/${name}`, { force: true });
  };
  return { name, shm, [Symbol.dispose]: remove };
}

const missing = (name: string): void => {
  mustRefuse(() => SharedMemory.open(name), 'ENOENT', 'shm_open');
};

const clash = (): void => {
  using made = object();
  mustRefuse(() => SharedMemory.create(made.name, { size: 1 }), 'EEXIST', 'shm_open');
};

const unlinked = (): void => {
  using made = object();
  made.shm.unlink();
  missing(made.name);
};

const tooLong = (call: (name: string) => unknown): void => {
  // Refused before the system is asked: ERR_MEMMAP_RANGE, in place of ENAMETOOLONG.
  mustRefuse(() => call('x'.repeat(256)), 'ERR_MEMMAP_RANGE');
};

/** What another user is told. */
const toldNobody = (tools: Tools, body: string): Promise<unknown> =>
  answer(
    tools,
    `const told = (call) => { try { call(); return 'done'; } catch (error) { return error.code; } };
     const { SharedMemory } = memmap;
     console.log(JSON.stringify(${body}));`,
    nobody,
  );

const isRoot = process.getuid?.() === 0;

const asAnother: Parameters<typeof casesOf>[0] = {
  async 'optx.shm_open.32-1'(tools) {
    using made = object(10, { mode: 0 });
    const told = await toldNobody(tools, `told(() => SharedMemory.open('${made.name}'))`);
    assert.equal(told, 'EACCES');
  },

  async 'optx.shm_unlink.8-1'(tools) {
    using made = object(10);
    made.shm.map().write(0, 'unchanged');
    await toldNobody(tools, `told(() => SharedMemory.unlink('${made.name}'))`);
    assert.equal(textOf(SharedMemory.open(made.name).map(), 0, 9), 'unchanged');
    for (const mapping of memmap.registry.mappings()) mapping.unmap();
  },

  async 'optx.shm_unlink.9-1'(tools) {
    using made = object(10);
    const told = await toldNobody(tools, `told(() => SharedMemory.unlink('${made.name}'))`);
    assert.equal(told, 'EACCES');
  },
};

const cases = casesOf({
  'optx.shm_open.11-1'() {
    using made = object();
    const info = readFileSync(`/proc/self/fdinfo/${String(made.shm.fd)}`, 'utf8');
    const closedByExec = 0o2000000;
    const flags = parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '0', 8);
    assert.equal(flags & closedByExec, closedByExec);
  },

  'optx.shm_open.15-1'() {
    using made = object(10);
    SharedMemory.unlink(made.name);
    using again = SharedMemory.create(made.name, { size: 20 });
    assert.equal(fstatSync(again.fd).size, 20);
  },

  'optx.shm_open.16-1'() {
    using made = object();
    assert.equal(fstatSync(made.shm.fd).uid, process.geteuid?.());
  },

  'optx.shm_open.17-1'() {
    using made = object();
    assert.equal(fstatSync(made.shm.fd).gid, process.getegid?.());
  },

  'optx.shm_open.20-1'() {
    using made = object();
    using reader = SharedMemory.open(made.name, { access: 'read' });
    assert.throws(() => ftruncateSync(reader.fd, 10), { code: 'EINVAL' });
  },

  'optx.shm_open.20-2'() {
    using made = object(10, { mode: 0 });
    ftruncateSync(made.shm.fd, 5);
    assert.deepEqual([made.shm.size, fstatSync(made.shm.fd).mode & 0o777], [5, 0]);
  },

  'optx.shm_open.22-1': clash,

  async 'optx.shm_open.23-1'(tools) {
    const names = Array.from({ length: 20 }, newName);
    const racer = `
      let won = 0;
      for (const name of ${JSON.stringify(names)}) {
        try { memmap.SharedMemory.create(name, { size: 10 }); won++; } catch (error) { if (error.code !== 'EEXIST') throw error; }
      }
      console.log(won);`;
    const counts = await Promise.all([1, 2, 3, 4].map(() => answer(tools, racer)));
    for (const name of names) SharedMemory.unlink(name);
    assert.equal(
      counts.map(Number).reduce((a, b) => a + b),
      names.length,
    );
  },

  'optx.shm_open.37-1'() {
    for (const name of ['', '/', '.', '..', '/a/b', 'a/', '//a', 'a\0b']) {
      mustRefuse(() => SharedMemory.open(name), 'ERR_MEMMAP_ARGUMENT');
    }
    const name = `${newName()} ~'"\\é`;
    SharedMemory.create(name, { size: 1 }).close();
    assert.ok(existsSync(`/dev/shm/${name}`));
    SharedMemory.unlink(`/${name}`);
  },

  'optx.shm_open.39-1'() {
    tooLong((name) => SharedMemory.open(name));
    const longest = newName().padEnd(255, 'x');
    SharedMemory.create(longest, { size: 1 }).close();
    SharedMemory.unlink(longest);
  },

  'optx.shm_open.41-1'() {
    missing(newName());
  },

  'optx.shm_unlink.1-1': unlinked,

  'optx.shm_unlink.10-1'() {
    tooLong((name) => {
      SharedMemory.unlink(name);
    });
  },

  'optx.shm_unlink.11-1'() {
    mustRefuse(() => SharedMemory.unlink(newName()), 'ENOENT', 'shm_unlink');
  },

  'glibc.tst-shm.escape'() {
    const name = `/../escaped-${String(process.pid)}`;
    mustRefuse(() => SharedMemory.create(name, { size: 1 }), 'ERR_MEMMAP_ARGUMENT');
    assert.equal(existsSync(`/dev${name.slice(3)}`), false);
  },

  'fbsd.shm.open_after_link': unlinked,

  'fbsd.shm.open_nonexisting_object'() {
    missing(newName());
  },

  'fbsd.shm.open_create_existing_object': clash,

  'cpython.shm.basics'() {
    using made = object(512);
    using other = SharedMemory.open(made.name);
    using ours = made.shm.map();
    using theirs = other.map();
    ours.write(0, Buffer.of(100));
    assert.deepEqual([theirs.read(0, 1)[0], other.size], [100, 512]);
    clash();
    missing(newName());
    made.shm.unlink();
    mustRefuse(() => SharedMemory.unlink(made.name), 'ENOENT', 'shm_unlink');
  },

  'cpython.shm.recreate'() {
    using made = object(10);
    mustRefuse(() => SharedMemory.create(made.name, { size: 10 }), 'EEXIST', 'shm_open');
    using next = object(10);
    assert.notEqual(next.name, made.name);
  },

  'cpython.shm.invalid_creation'() {
    mustRefuse(() => SharedMemory.create(newName(), { size: -1 }), 'ERR_MEMMAP_RANGE');
    mustRefuse(() => SharedMemory.create(newName(), { size: 0 }), 'ERR_MEMMAP_RANGE');
    const none = {} as { size: number };
    mustRefuse(() => SharedMemory.create(newName(), none), 'ERR_MEMMAP_ARGUMENT');
  },

  async 'cpython.shm.pickle'(tools) {
    using made = object(100);
    using mapping = made.shm.map();
    mapping.write(0, 'there');
    const handle = JSON.stringify(made.name);
    const seen = await answer(
      tools,
      `const m = memmap.SharedMemory.open(${handle}).map();
       const seen = m.read(0, 5).toString();
       m.write(5, ' and back');
       console.log(JSON.stringify(seen));`,
    );
    assert.deepEqual([seen, textOf(mapping, 0, 14)], ['there', 'there and back']);
  },

  ...(isRoot ? asAnother : {}),
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {
    ...because(
      'a name is given to what has its size: no object is ever empty',
      'optx.shm_open.21-1',
    ),
    ...because(
      'nothing opens shared memory with O_TRUNC',
      'optx.shm_open.25-1',
      'optx.shm_open.26-1',
      'optx.shm_open.34-1',
      'fbsd.shm.trunc_resets_object',
    ),
    ...(isRoot ? {} : because('only root can be another user', ...Object.keys(asAnother))),
  },
};
