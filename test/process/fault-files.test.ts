// What can become of the name and the length of a mapped file: cut inside a page, emptied and filled again, renamed,
// replaced, deleted. Only what lies beyond the end of the file that was mapped is a fault.
import { faultsSurvived } from '../helpers/faults';

test('cut in the middle of a page: the rest of that page is zeros without a fault, the next is lost', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 2 * PAGE + 100);
    const same = cutBytes(2 * PAGE + 100, 8 * PAGE);
    assert.equal(b.subarray(0, 3 * PAGE).equals(same.subarray(0, 3 * PAGE)), true);
    assert.deepEqual(m.faults, []);
    assert.equal(b.equals(same), true);
    const faults = assertLost(m, 3 * PAGE, 8 * PAGE);
    await assertTold(errors, faults, m);
    // As the kernel has it: bytes of the last page beyond the end are nobody's.
    b.write('before', 2 * PAGE);
    assert.equal(m.read(2 * PAGE, 106).toString('latin1', 0, 7), 'beforea');
    assert.equal(fs.statSync(path).size, 2 * PAGE + 100);
    assert.equal(fs.readFileSync(path).toString('latin1', 2 * PAGE, 2 * PAGE + 7), 'beforea');
    m.flushSync({ offset: 0, length: 3 * PAGE });
    assert.throws(() => m.flushSync(), isFault(m));
  `));

test('extended to the middle of a lost page: repair() gives it, and rejects for the next', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 0);
    assert.equal(isAll(b, 0), true);
    const first = assertLost(m, 0, 8 * PAGE);
    fs.writeFileSync(path, 'x'.repeat(2 * PAGE + 100));
    await assert.rejects(m.repair(), (error) => isFault(m)(error) && error.offset === 3 * PAGE);
    const same = cutBytes(2 * PAGE + 100, 8 * PAGE, 120);
    assert.equal(b.equals(same), true);
    assert.throws(() => m.read(3 * PAGE, 1), isFault(m));
    assert.equal(m.read(2 * PAGE, 100).equals(same.subarray(2 * PAGE, 2 * PAGE + 100)), true);
    await assertTold(errors, first, m);
    fs.writeFileSync(path, 'y'.repeat(8 * PAGE));
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(isAll(b, 121), true);
  `));

test('emptied and filled again before anybody looks: no fault, the new bytes', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    m.on('fault', () => assert.fail('a fault'));
    const b = m.buffer;
    assert.equal(b[0], 97);
    truncate(path, 0);
    truncate(path, 8 * PAGE);
    assert.equal(isAll(b, 0), true);
    anotherWrites(path, 5 * PAGE, 'new');
    assert.equal(b.toString('latin1', 5 * PAGE, 5 * PAGE + 3), 'new');
    assert.deepEqual(m.faults, []);
    await m.repair();
    await turn();
  `));

test('emptied, looked at, and filled again: zeros until repair() gives the new bytes', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 0);
    assert.equal(b[3 * PAGE], 0);
    const faults = assertLost(m, 3 * PAGE, 4 * PAGE);
    fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'n'));
    // Pages that nobody had touched are the file's all the time.
    assert.equal(b[2 * PAGE], 110);
    assert.equal(b[3 * PAGE], 0);
    assert.equal(m.faults.length, 1);
    assert.throws(() => m.read(0, 8 * PAGE), isFault(m));
    await m.repair();
    assert.equal(isAll(b, 110), true);
    assert.equal(isAll(m.read(0, 8 * PAGE), 110), true);
    assert.deepEqual(m.faults, []);
    await assertTold(errors, faults, m);
    // Below it lies the file again, page by page, and nothing is left of the guard's.
    const smaps = fs.readFileSync('/proc/self/smaps', 'latin1');
    const of = smaps.split('\\n').filter((line) => line.endsWith(path));
    assert.equal(of.length, regions().filter(({ name }) => name === path).length);
    assert.equal(regionAt(m.address + BigInt(3 * PAGE)).name, path);
  `));

test('replaced by rename: the view shows the old file, and there is no fault', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    m.on('fault', () => assert.fail('a fault'));
    const b = m.buffer;
    const shorter = scratch('short');
    execFileSync('mv', [shorter, path]);
    assert.equal(isAll(b, 97), true);
    b.fill(98);
    await m.flush();
    assert.equal(fs.readFileSync(path, 'latin1'), 'short');
    truncate(path, 0);
    assert.equal(isAll(b, 98), true);
    assert.deepEqual(m.faults, []);
    await m.repair();
    await turn();
  `));

test('replaced by rename, then cut through its other name: truncated, and repaired through it', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const other = path + '-other';
    fs.linkSync(path, other);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    execFileSync('mv', [scratch(64 * PAGE), path]);
    truncate(other, 2 * PAGE);
    b[5 * PAGE] = 1;
    assert.equal(b.equals(Buffer.from(cutBytes(2 * PAGE, 8 * PAGE).fill(1, 5 * PAGE, 5 * PAGE + 1))), true);
    const faults = assertLost(m, 2 * PAGE, 8 * PAGE);
    await assertTold(errors, faults, m);
    await assert.rejects(m.repair(), isFault(m));
    truncate(other, 8 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(other)[5 * PAGE], 1);
    assert.equal(isAll(fs.readFileSync(path), 97), true);
  `));

for (const [how, name] of Object.entries({
  'by rename': "execFileSync('mv', [scratch(64 * PAGE), path]);",
  'by nothing: deleted': 'fs.rmSync(path);',
  'by a directory': 'fs.rmSync(path); fs.mkdirSync(path);',
})) {
  test(`replaced ${how}, then cut through a descriptor: truncated, and repaired through it`, () =>
    faultsSurvived(`
      const path = scratch(8 * PAGE);
      const fd = fs.openSync(path, 'r+');
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const errors = listen(m);
      const b = m.buffer;
      ${name}
      assert.equal(isAll(b, 97), true);
      b[0] = 98;
      assert.deepEqual(m.faults, []);
      // Through the descriptor, which the other process gets as its own.
      execFileSync('truncate', ['-s', String(2 * PAGE), '/proc/self/fd/3'], { stdio: ['ignore', 'pipe', 'pipe', fd] });
      assert.equal(fs.fstatSync(fd).size, 2 * PAGE);
      const same = cutBytes(2 * PAGE, 8 * PAGE);
      same[0] = 98;
      assert.equal(b.equals(same), true);
      const faults = assertLost(m, 2 * PAGE, 8 * PAGE);
      await assertTold(errors, faults, m);
      b.fill(99, 2 * PAGE);
      await assert.rejects(m.flush(), isFault(m));
      await assert.rejects(m.repair(), isFault(m));
      fs.ftruncateSync(fd, 8 * PAGE);
      await m.repair();
      const now = Buffer.alloc(8 * PAGE);
      fs.readSync(fd, now, 0, now.length, 0);
      assert.equal(now.equals(same.fill(99, 2 * PAGE)), true);
      assert.deepEqual(m.faults, []);
      await m.flush();
    `));
}

test('cut first and deleted then: truncated, and the bytes are kept', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, PAGE);
    fs.rmSync(path);
    b.fill(5, 4 * PAGE);
    const faults = assertLost(m, 4 * PAGE, 8 * PAGE);
    await assertTold(errors, faults, m);
    // Nobody can make it longer any more.
    await assert.rejects(m.repair(), isFault(m));
    assert.equal(isAll(b.subarray(4 * PAGE), 5), true);
    assert.equal(b[0], 97);
  `));

test('renamed, then cut: truncated', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    const moved = path + '-moved';
    execFileSync('mv', [path, moved]);
    assert.equal(isAll(b, 97), true);
    truncate(moved, PAGE);
    b.fill(1, PAGE);
    const faults = assertLost(m, PAGE, 8 * PAGE);
    await assertTold(errors, faults, m);
    truncate(moved, 8 * PAGE);
    await m.repair();
    assert.equal(isAll(fs.readFileSync(moved).subarray(PAGE), 1), true);
    assert.equal(fs.existsSync(path), false);
  `));

test('a path of strange characters, and one longer than the guard keeps', () =>
  faultsSurvived(`
    const odd = join(folder, 'new\\nline \\\\ \\u00e9 (deleted)');
    const deep = [...Array(8).keys()].reduce((at) => join(at, 'd'.repeat(200)), folder);
    fs.mkdirSync(deep, { recursive: true });
    for (const path of [odd, join(deep, 'file')]) {
      fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'a'));
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const errors = listen(m);
      truncate(path, 3 * PAGE);
      m.buffer.fill(9);
      await assertTold(errors, assertLost(m, 3 * PAGE, 8 * PAGE), m);
      await assert.rejects(m.repair(), isFault(m));
      truncate(path, 8 * PAGE);
      await m.repair();
      assert.equal(isAll(fs.readFileSync(path), 9), true);
    }
  `));

test('a file in memory that has no name, of another process', () =>
  faultsSurvived(`
    const program = 'import os,sys\\n'
      + 'fd=os.memfd_create("shared")\\nos.write(fd,b"a"*int(sys.argv[1]))\\nprint(fd,flush=True)\\n'
      + 'for line in sys.stdin:\\n os.ftruncate(fd,int(line))\\n print(line.strip(),flush=True)';
    const other = spawn('python3', ['-c', program, String(8 * PAGE)], { stdio: ['pipe', 'pipe', 'inherit'] });
    other.on('error', (error) => assert.fail(error));
    // By lines: a chunk may hold half of one.
    const lines = require('node:readline').createInterface({ input: other.stdout })[Symbol.asyncIterator]();
    const answer = async () => (await lines.next()).value;
    const fd = await answer();
    const resizeTo = async (length) => { other.stdin.write(length + '\\n'); await answer(); };
    const path = '/proc/' + other.pid + '/fd/' + fd;
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    await resizeTo(2 * PAGE);
    b[5 * PAGE] = 5;
    assert.equal(b[2 * PAGE], 0);
    assert.deepEqual(m.faults.map(({ kind, offset }) => [kind, offset / PAGE]), [['truncated', 5], ['truncated', 2]]);
    await assert.rejects(m.repair(), isFault(m));
    await resizeTo(9 * PAGE);
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(fs.readFileSync(path)[5 * PAGE], 5);
    await turn();
    assert.equal(errors.length, 2);
    other.stdin.end();
  `));

test('on tmpfs, with space and without a name to ask: truncated, not a full disk', () =>
  faultsSurvived(`
    const shm = fs.mkdtempSync('/dev/shm/memmap-');
    process.on('exit', () => fs.rmSync(shm, { recursive: true, force: true }));
    const path = join(shm, 'file');
    fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'a'));
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    truncate(path, 3 * PAGE + 1);
    m.buffer.fill(6);
    await assertTold(errors, assertLost(m, 4 * PAGE, 8 * PAGE), m);
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.equal(isAll(fs.readFileSync(path).subarray(4 * PAGE), 6), true);
  `));
