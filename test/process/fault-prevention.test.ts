// Better than a fault: blocks that are there, errors from the call itself, memory that nobody can cut off.
import { execFileSync } from 'node:child_process';
import type { ChildOptions } from '../helpers/child';
import { noLoop, noTmpfs, withExt4, withTmpfs } from '../helpers/disks';
import { survives, testWhere } from './program';

const MIB = 1 << 20;

const disks = [
  {
    name: 'a 1 MiB tmpfs',
    missing: noTmpfs,
    on: (use: (folder: string) => Promise<unknown>) => withTmpfs(MIB, ({ folder }) => use(folder)),
  },
  {
    name: 'an ext4 on a loop device',
    missing: noLoop,
    on: (use: (folder: string) => Promise<unknown>) =>
      withExt4(4 * MIB, ({ folder }) => use(folder)),
  },
];

const onDisk = (disk: string) => `
const disk = ${JSON.stringify(disk)};
function fillDisk() {
  const fd = fs.openSync(join(disk, 'ballast'), 'a');
  assert.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(1024, 'b'));
  }, { code: 'ENOSPC' });
  fs.closeSync(fd);
}
function sparse(length) {
  const path = join(disk, 'sparse');
  fs.writeFileSync(path, '');
  fs.truncateSync(path, length);
  return path;
}
const nothingMapped = () => {
  assert.deepEqual(memmap.registry.mappings(), []);
  assert.equal(regions().some(({ name }) => name.startsWith(disk)), false);
};
`;

const denials: ChildOptions[] = [{}, { env: { MEMMAP_DENY: 'populate' } }];

describe.each(disks)('$name that is full', ({ missing, on }) => {
  const testFull = testWhere(missing === undefined, missing ?? '');

  for (const options of denials) {
    const without = options.env === undefined ? '' : ', on a kernel without MADV_POPULATE';
    testFull(`populate of holes is an error of the call${without}`, () =>
      on((folder) =>
        survives(
          `
          ${onDisk(folder)}
          const path = sparse(16 * PAGE);
          fillDisk();
          const given = { access: 'read-write', populate: true };
          const refusal = { code: 'EFAULT', path };
          assert.throws(() => memmap.mapFileSync(path, given), refusal);
          await assert.rejects(memmap.mapFile(path, given), refusal);
          nothingMapped();
          fs.rmSync(join(disk, 'ballast'));
          const m = memmap.mapFileSync(path, given);
          fillDisk();
          m.buffer.fill('p');
          assert.deepEqual(m.faults, []);
          await m.flush();
          assert.equal(isAll(fs.readFileSync(path), 'p'), true);
        `,
          options,
        ),
      ),
    );
  }

  testFull('size is ENOSPC at once, and the file as it was; later no fault', () =>
    on((folder) =>
      survives(`
        ${onDisk(folder)}
        const path = join(disk, 'grows');
        fs.writeFileSync(path, 'short');
        const share = join(disk, 'share');
        fs.writeFileSync(share, Buffer.alloc(24 * PAGE));
        fillDisk();
        const given = { access: 'read-write', create: true, size: 16 * PAGE };
        const refusal = { code: 'ENOSPC', syscall: 'fallocate', path };
        assert.throws(() => memmap.mapFileSync(path, given), refusal);
        await assert.rejects(memmap.mapFile(path, given), refusal);
        assert.equal(fs.readFileSync(path, 'latin1'), 'short');
        nothingMapped();
        fs.rmSync(share);
        const m = memmap.mapFileSync(path, given);
        fillDisk();
        m.buffer.fill('s');
        assert.deepEqual(m.faults, []);
        await m.flush();
        assert.equal(isAll(fs.readFileSync(path), 's'), true);
      `),
    ),
  );

  testFull('allocate: false is a fault later', () =>
    on((folder) =>
      survives(`
        ${onDisk(folder)}
        const path = join(disk, 'grows');
        fs.writeFileSync(path, '');
        fillDisk();
        const m = memmap.mapFileSync(path, { access: 'read-write', size: 4 * PAGE, allocate: false });
        const told = [];
        m.on('fault', ({ kind }) => told.push(kind));
        m.buffer.fill('l');
        assert.deepEqual([...new Set(m.faults.map(({ kind }) => kind))], ['no-space']);
        await turn();
        assert.deepEqual([...new Set(told)], ['no-space']);
        await assert.rejects(m.flush(), { code: 'ERR_MEMMAP_FAULT', kind: 'no-space' });
      `),
    ),
  );
});

for (const options of denials) {
  const without = options.env === undefined ? '' : ', on a kernel without MADV_POPULATE';
  test(`populate of a file that is cut short meanwhile is EFAULT${without}`, () =>
    survives(
      `
      const { execFileSync } = require('node:child_process');
      const path = scratch(4 * PAGE);
      const fifo = join(folder, 'fifo');
      execFileSync('mkfifo', [fifo]);
      const pipe = fs.openSync(fifo, 'r+');
      for (const access of ['read', 'read-write', 'copy-on-write']) {
        fs.truncateSync(path, 4 * PAGE);
        const fd = fs.openSync(path, 'r+');
        // The only thread of the pool waits for the pipe: what is populated is populated after that.
        const read = new Promise((done) => fs.read(pipe, Buffer.alloc(1), 0, 1, null, done));
        const mapping = memmap.mapFile(fd, { access, populate: true });
        while (memmap.registry.mappings().length === 0) await turn();
        fs.ftruncateSync(fd, PAGE);
        fs.writeSync(pipe, 'x');
        await assert.rejects(mapping, { code: 'EFAULT' }, access);
        await read;
        assert.deepEqual(memmap.registry.mappings(), []);
        assert.equal(showsFile(path), false);
        fs.closeSync(fd);
      }
    `,
      { env: { ...options.env, UV_THREADPOOL_SIZE: '1' } },
    ));

  test(`prefetch of a file that was cut short is EFAULT, and no fault${without}`, () =>
    survives(
      `
      for (const access of ['read', 'read-write', 'copy-on-write']) {
        const path = scratch(2 * PAGE);
        const m = memmap.mapFileSync(path, { access, populate: true });
        assert.equal(m.residency().resident, 2);
        m.buffer[0];
        fs.truncateSync(path, PAGE);
        await assert.rejects(m.prefetch(), { code: 'EFAULT', path });
        await m.prefetch({ offset: 0, length: PAGE });
        assert.deepEqual(m.faults, []);
      }
    `,
      options,
    ));
}

/** Becomes a program that inherits three memory files, as 100 to 102. */
const withMemory = `
import fcntl, os, sys
for i, seal in enumerate(('shrink', 'grow', 'none')):
    fd = os.memfd_create(seal, os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 65536)
    if seal == 'shrink':
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    if seal == 'grow':
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    os.dup2(fd, 100 + i, inheritable=True)
os.execv(sys.argv[1], sys.argv[1:])
`;

function pythonMissing(): string | undefined {
  try {
    const check = 'import fcntl, os; os.memfd_create, fcntl.F_ADD_SEALS';
    execFileSync('python3', ['-c', check], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `no python3 with memfd_create: ${(error as Error).message.trim()}`;
  }
}
const noPython = pythonMissing();
const testSealed = testWhere(noPython === undefined, noPython ?? '');
const inherits: ChildOptions = {
  execPath: 'python3',
  execArgv: ['-c', withMemory, process.execPath],
};

testSealed('memory that is sealed against shrinking relies on no guard', () =>
  survives(
    `
    const [shrink, grow, none] = [100, 101, 102];
    const relies = (m) => memmap.guardStatus().mappings.includes(m);
    const sealed = memmap.mapFileSync(shrink, { access: 'read-write' });
    sealed.buffer.fill('s');
    assert.deepEqual(memmap.guardStatus().mappings, []);
    assert.throws(() => fs.ftruncateSync(shrink, 0), { code: 'EPERM' });
    assert.equal(isAll(sealed.buffer, 's'), true);
    assert.equal(isAll(fs.readFileSync('/proc/self/fd/100'), 's'), true);
    // Sealed against something else, or not at all: it can be cut off.
    for (const fd of [grow, none]) {
      const m = memmap.mapFileSync(fd, { access: 'read-write' });
      m.buffer[0] = 1;
      assert.equal(relies(m), true);
      fs.ftruncateSync(fd, 0);
      const told = once(m, 'fault');
      assert.equal(m.buffer[0], 0);
      assert.equal(m.faults.length, 1);
      assert.equal((await told)[0].kind, 'truncated');
    }
    // Nobody can cut it off, but stray writes are still met.
    const read = memmap.mapFileSync(shrink);
    const told = once(read, 'fault');
    read.buffer[0] = 1;
    assert.equal(relies(read), true);
    assert.equal(read.faults.length, 1);
    assert.equal((await told)[0].kind, 'read-only');
    assert.equal(read.buffer[0], 's'.charCodeAt());
    assert.equal(sealed.buffer[0], 's'.charCodeAt());
    // Also of the sealed one itself, once it is read-only.
    sealed.protect('read');
    sealed.on('fault', () => {});
    sealed.buffer[5] = 1;
    assert.deepEqual(sealed.faults.map(({ kind }) => kind), ['read-only']);
    assert.equal(relies(sealed), true);
    await turn();
    assert.equal(sealed.buffer[5], 's'.charCodeAt());
    assert.deepEqual(memmap.registry.verify(), []);
  `,
    inherits,
  ),
);

testSealed('what cannot shrink but is mapped beyond its end relies on the guard', () =>
  survives(
    `
    const { PROT_READ, PROT_WRITE, MAP_SHARED } = memmap.constants;
    const m = memmap.sys.mmap(0, 65536 + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 100, 0);
    const told = once(m, 'fault');
    assert.equal(m.buffer[65536], 0);
    assert.deepEqual(memmap.guardStatus().mappings, [m]);
    assert.equal(m.faults.length, 1);
    assert.equal((await told)[0].kind, 'truncated');
  `,
    inherits,
  ),
);

test('guard: false, and memory that only this process has, rely on no guard', () =>
  survives(`
    const path = scratch(4 * PAGE);
    const without = [
      memmap.mapFileSync(path, { guard: false }),
      memmap.mapFileSync(path, { access: 'read-write', guard: false }),
      memmap.mapAnonymous(PAGE, { access: 'read', guard: false }),
      await memmap.mapFile(path, { guard: false }),
    ];
    for (const m of without) m.buffer[0];
    assert.deepEqual(memmap.guardStatus().mappings, []);
    assert.equal(memmap.guardStatus().installed, false);
    const own = memmap.mapAnonymous(PAGE);
    own.buffer[0] = 1;
    assert.deepEqual(memmap.guardStatus().mappings, []);
    const relying = [
      memmap.mapFileSync(path),
      memmap.mapFileSync(path, { access: 'read-write' }),
      memmap.mapFileSync(path, { access: 'copy-on-write' }),
      memmap.mapAnonymous(PAGE, { access: 'read' }),
      await memmap.mapFile(path),
    ];
    for (const m of relying) m.view(0, 1);
    assert.deepEqual(new Set(memmap.guardStatus().mappings), new Set(relying));
    assert.equal(memmap.guardStatus().installed, true);
    // Made read-only it can be written to by mistake.
    own.protect('read');
    assert.equal(memmap.guardStatus().mappings.includes(own), true);
    without[1].protect('read');
    assert.equal(memmap.guardStatus().mappings.includes(without[1]), false);
    for (const m of relying) m.unmap();
    assert.deepEqual(memmap.guardStatus().mappings, [own]);
  `));
