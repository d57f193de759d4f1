// Holes of a file on a full disk: what is written there is kept, told, and brought to the file once there is space.
import { catReads, noLoop, noTmpfs, withExt4, withTmpfs } from '../helpers/disks';
import { survives, testWhere } from './program';

const MIB = 1 << 20;

/** Runs `use` in the folder of a new disk, and then `stored` in what is on the disk itself. */
type OnDisk = (
  use: (folder: string) => Promise<unknown>,
  stored?: (folder: string) => void,
) => Promise<void>;

const onTmpfs: OnDisk = (use, stored) =>
  withTmpfs(MIB, async ({ folder }) => {
    await use(folder);
    stored?.(folder);
  });

const onExt4: OnDisk = (use, stored) =>
  withExt4(4 * MIB, async (disk) => {
    await use(disk.folder);
    disk.again();
    stored?.(disk.folder);
  });

const disks = [
  { name: 'a 1 MiB tmpfs', missing: noTmpfs, on: onTmpfs },
  { name: 'an ext4 on a loop device', missing: noLoop, on: onExt4 },
];

/** No byte of it is zero. */
const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => ((at * 7 + (at >> 8) * 13) % 255) + 1));

/** In scope of a child. */
const tools = (disk: string) => `
const { execFileSync } = require('node:child_process');
const { errno } = require('node:os').constants;
const disk = ${JSON.stringify(disk)};
const reads = (path) => execFileSync('cat', [path], { maxBuffer: 1 << 30 });
const noSpace = {
  code: 'ERR_MEMMAP_FAULT', kind: 'no-space', syscall: 'page_fault', errno: -errno.ENOSPC,
};
const pattern = ${pattern.toString()};
const SHARE = 64 * PAGE;

function put(name, length) {
  const path = join(disk, name);
  fs.writeFileSync(path, Buffer.alloc(length, 'b'));
  return path;
}
const free = (name) => fs.rmSync(join(disk, name));
function fillDisk() {
  const fd = fs.openSync(join(disk, 'ballast'), 'a');
  assert.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(1024, 'b'));
  }, { code: 'ENOSPC' });
  fs.closeSync(fd);
}
function sparse(name, length) {
  const path = join(disk, name);
  fs.writeFileSync(path, '');
  fs.truncateSync(path, length);
  return path;
}
function open(path, options) {
  const m = memmap.mapFileSync(path, { access: 'read-write', ...options });
  m.told = [];
  m.on('fault', (error) => m.told.push(error));
  return m;
}
const lost = (m) => m.faults.reduce((sum, { length }) => sum + length, 0);
const regionsOf = (m) => regions()
  .filter(({ start, end }) => start < m.address + BigInt(m.length) && m.address < end)
  .map(({ name, mode }) => [name, mode]);
`;

/** Two shares of the disk can be freed, half of a share is free, and the file has holes of two shares. */
const written = `
put('first', SHARE);
put('second', SHARE);
put('half', SHARE / 2);
const path = sparse('holes', 2 * SHARE);
fillDisk();
free('half');
const m = open(path);
const { buffer } = m;
const expected = pattern(m.length);
for (let at = 0; at < m.length; at += PAGE) buffer.set(expected.subarray(at, at + PAGE), at);
`;

const wholeWay = `
${written}
const { faults } = m;
const [{ offset }] = faults;
for (const each of faults) {
  const { kind, signal, thread } = each;
  assert.deepEqual({ kind, signal, thread }, { kind: 'no-space', signal: 'SIGBUS', thread: process.pid });
  assert.equal(each.length, each.count * PAGE);
  assert.equal(each.fileOffset, BigInt(each.offset));
  assert.equal(each.address, m.address + BigInt(each.offset));
}
assert.ok(lost(m) > SHARE && lost(m) < 2 * SHARE, String(lost(m)));
assert.equal(buffer.equals(expected), true);
assert.equal(m.read(0, m.length).equals(expected), true);

await turn();
assert.equal(m.told.length, faults.length);
for (const error of m.told) {
  const { code, kind, syscall, errno } = error;
  assert.deepEqual({ code, kind, syscall, errno }, noSpace);
  assert.ok(error instanceof memmap.FaultError && error instanceof memmap.MapError);
  assert.deepEqual([error.path, error.mapping], [path, m]);
}

await assert.rejects(m.flush(), noSpace);
assert.throws(() => m.flushSync(), noSpace);
await m.flush({ offset: 0, length: offset });
await assert.rejects(m.flush({ offset, length: 1 }), noSpace);
assert.throws(() => m.write(offset, 'x'), noSpace);
await assert.rejects(m.repair(), noSpace);
assert.equal(buffer.equals(expected), true);
assert.ok(lost(m) > SHARE, String(lost(m)));
const found = reads(path);
assert.equal(found.subarray(0, offset).equals(expected.subarray(0, offset)), true);
assert.equal(isAll(found.subarray(offset, offset + PAGE), 0), true);

// Not enough: what has space may go, and nothing is lost.
free('first');
await assert.rejects(m.repair(), noSpace);
assert.equal(buffer.equals(expected), true);
await assert.rejects(m.flush(), noSpace);
assert.ok(lost(m) > 0);

free('second');
await m.repair();
assert.deepEqual(m.faults, []);
await m.flush();
m.flushSync();
assert.equal(buffer.equals(expected), true);
assert.equal(reads(path).equals(expected), true);
assert.deepEqual(regionsOf(m), [[path, 'rw-s']]);
// As good as new, in both directions.
buffer[offset] = 0;
assert.equal(reads(path)[offset], 0);
execFileSync('sh', ['-c', 'printf a | dd of="$0" bs=1 seek=' + offset + ' conv=notrunc', path], { stdio: 'pipe' });
assert.equal(buffer[offset], 97);
buffer[offset] = expected[offset];
await m.flush();
assert.deepEqual(memmap.registry.verify(), []);
`;

const denials = [
  '',
  'procmap_query',
  'process_vm',
  'populate',
  'procmap_query,process_vm,populate',
];

describe.each(disks)('$name', ({ name, missing, on }) => {
  const testFull = testWhere(missing === undefined, missing ?? '');

  const child = (source: string) => on((folder) => survives(tools(folder) + source));

  for (const denied of denials) {
    const without = denied === '' ? '' : `, without ${denied}`;
    testFull(`every byte is kept, and brought to the file${without}`, () =>
      on(
        (folder) => survives(tools(folder) + wholeWay, { env: { MEMMAP_DENY: denied } }),
        (folder) => {
          const bytes = catReads(`${folder}/holes`);
          expect(bytes.length).toBeGreaterThan(0);
          expect(bytes.equals(pattern(bytes.length))).toBe(true);
        },
      ),
    );
  }

  testFull('nobody listens: an uncaught exception, and the bytes are still there', () =>
    child(`
      const caught = once(process, 'uncaughtException');
      ${written.replace('open(path)', "memmap.mapFileSync(path, { access: 'read-write' })")}
      const [error] = await caught;
      assert.deepEqual([error.code, error.kind, error.mapping], [noSpace.code, noSpace.kind, m]);
      assert.equal(buffer.equals(expected), true);
      free('first');
      free('second');
      await m.repair();
      assert.equal(reads(path).equals(expected), true);
    `),
  );

  testFull('guarded() throws it', () =>
    child(`
      put('ballast-that-goes', SHARE);
      const m = open(sparse('holes', SHARE));
      fillDisk();
      const { buffer } = m;
      assert.throws(() => m.guarded(() => buffer.fill('x')), noSpace);
      await assert.rejects(m.guarded(async () => {
        await turn();
        buffer.fill('y');
        await m.flush();
      }), noSpace);
      assert.equal(isAll(buffer, 'y'), true);
      free('ballast-that-goes');
      await m.repair();
      assert.equal(m.guarded(() => buffer.toString('latin1', 0, 2)), 'yy');
      await m.flush();
      assert.equal(isAll(reads(m.path), 'y'), true);
    `),
  );

  testFull('reading holes is no harm, and pages without a write stay empty', () =>
    child(`
      put('share', SHARE);
      const m = open(sparse('holes', SHARE));
      fillDisk();
      const { buffer } = m;
      assert.equal(isAll(buffer, 0), true);
      // A tmpfs needs a page even for reading.
      assert.equal(lost(m), ${name.includes('tmpfs') ? 'SHARE' : '0'});
      assert.equal(isAll(m.read(0, SHARE), 0), true);
      for (let at = 0; at < SHARE; at += 4 * PAGE) buffer[at + 5] = 9;
      free('share');
      const before = fs.statSync(m.path).blocks;
      await m.repair();
      await m.flush();
      const stored = (fs.statSync(m.path).blocks - before) * 512;
      assert.ok(stored > 0 && stored <= ${name.includes('tmpfs') ? 'SHARE' : 'SHARE / 4 + 16 * 1024'}, String(stored));
      const found = reads(m.path);
      assert.equal(found.reduce((sum, byte) => sum + byte, 0), 9 * (SHARE / 4 / PAGE));
      for (let at = 5; at < SHARE; at += 4 * PAGE) assert.equal(found[at], 9);
    `),
  );

  testFull('a thread of the pool writes; the kernel itself answers EFAULT', () =>
    child(`
      put('share', SHARE);
      const m = open(sparse('holes', SHARE));
      fillDisk();
      const random = await new Promise((done, failed) =>
        require('node:crypto').randomFill(m.buffer, (error, bytes) => (error ? failed(error) : done(bytes))));
      const copy = Buffer.from(random);
      assert.equal(isAll(copy.subarray(0, PAGE), 0), false);
      assert.notEqual(m.faults[0].thread, process.pid);
      assert.ok(fs.existsSync('/proc/self/task/' + m.faults[0].thread));
      assert.equal(lost(m), SHARE);
      const other = open(sparse('others', PAGE));
      const fd = fs.openSync(__filename === '[eval]' ? process.execPath : __filename);
      assert.throws(() => fs.readSync(fd, other.buffer, 0, 10, 0), { code: 'EFAULT', syscall: 'read' });
      fs.closeSync(fd);
      assert.deepEqual(other.faults, []);
      free('share');
      await m.repair();
      await m.flush();
      assert.equal(reads(m.path).equals(copy), true);
    `),
  );

  testFull('two mappings of one file and two threads: both bring their bytes', () =>
    child(`
      put('share', SHARE);
      const path = sparse('holes', SHARE / 2);
      fillDisk();
      const m = open(path);
      const worker = startWorker(\`
        const m = memmap.mapFileSync(workerData, { access: 'read-write' });
        const told = [];
        m.on('fault', ({ kind }) => told.push(kind));
        for (let at = 1; at < m.length; at += 2) m.buffer[at] = 2;
        const { faults } = m;
        parentPort.postMessage(faults.map(({ kind, thread }) => [kind, thread]));
        parentPort.once('message', async () => {
          await m.repair();
          await m.flush();
          parentPort.postMessage([told, m.faults.length]);
        });
      \`, path);
      for (let at = 0; at < m.length; at += 2) m.buffer[at] = 1;
      const [theirs] = await once(worker, 'message');
      assert.ok(theirs.length > 0);
      for (const [kind, thread] of theirs) {
        assert.equal(kind, 'no-space');
        assert.notEqual(thread, process.pid);
      }
      assert.equal(lost(m), SHARE / 2);
      free('share');
      await m.repair();
      worker.postMessage('now');
      assert.deepEqual((await once(worker, 'message'))[0].slice(1), [0]);
      await worker.ended;
      await m.flush();
      const found = reads(path);
      assert.equal(found.every((byte, at) => byte === (at % 2 === 0 ? 1 : 2)), true);
    `),
  );
});

testWhere(noTmpfs === undefined, noTmpfs ?? '')(
  'holes of a full tmpfs cannot even be read: mappings that are read-only, and private ones',
  () =>
    onTmpfs((folder) =>
      survives(`
        ${tools(folder)}
        put('share', SHARE);
        const made = ['read', 'copy-on-write'].map((access) => [access, sparse(access, 16 * PAGE)]);
        fillDisk();
        const mappings = made.map(([access, path]) => open(path, { access }));
        const [read, own] = mappings;
        for (const { buffer } of mappings) assert.equal(buffer[5 * PAGE], 0);
        own.buffer[5 * PAGE] = 7;
        own.buffer[7 * PAGE] = 8;
        assert.deepEqual(mappings.map(lost), [PAGE, 2 * PAGE]);
        await turn();
        for (const m of mappings) {
          assert.deepEqual([...new Set(m.told.map(({ kind }) => kind))], ['no-space']);
          await assert.rejects(m.repair(), noSpace);
          assert.ok(m.faults.length > 0);
        }
        free('share');
        for (const m of mappings) {
          await m.repair();
          assert.deepEqual(m.faults, []);
        }
        assert.deepEqual([own.buffer[5 * PAGE], own.buffer[7 * PAGE]], [7, 8]);
        assert.equal(isAll(reads(own.path), 0), true);
        const fd = fs.openSync(read.path, 'r+');
        fs.writeSync(fd, 'others', 5 * PAGE);
        assert.equal(read.buffer.toString('latin1', 5 * PAGE, 5 * PAGE + 6), 'others');
      `),
    ),
);

testWhere(noLoop === undefined, noLoop ?? '')(
  'a page of which the file has a part: the part stays, also what others write to it meanwhile',
  () =>
    onExt4((folder) =>
      survives(`
        ${tools(folder)}
        put('share', SHARE);
        // Blocks of 1 KiB: the first of each page is there, the others are holes.
        const path = sparse('holes', 4 * PAGE);
        const fd = fs.openSync(path, 'r+');
        for (let at = 0; at < 4 * PAGE; at += PAGE) fs.writeSync(fd, Buffer.alloc(1024, 'o'), 0, 1024, at);
        fs.fsyncSync(fd);
        fillDisk();
        const m = open(path);
        const { buffer } = m;
        for (let at = 0; at < 4 * PAGE; at += PAGE) {
          buffer.write('in the part', at + 10);
          buffer.write('in the hole', at + 2000);
        }
        assert.equal(lost(m), 4 * PAGE);
        const shown = Buffer.from(buffer);
        assert.equal(shown.subarray(0, 10).toString(), 'oooooooooo');
        await assert.rejects(m.repair(), noSpace);
        assert.equal(buffer.equals(shown), true);
        // Blocks that are there can be written to on a full disk.
        execFileSync('sh', ['-c', 'printf theirs | dd of="$0" bs=1 seek=100 conv=notrunc', path], { stdio: 'pipe' });
        free('share');
        await m.repair();
        await m.flush();
        shown.write('theirs', 100);
        const found = reads(path);
        assert.equal(found.toString('latin1', 100, 106), 'theirs');
        assert.equal(found.equals(shown), true);
        assert.equal(buffer.equals(shown), true);
      `),
    ),
);
