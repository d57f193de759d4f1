// A damaged mapping: what flush and repair do with it, and that no byte is lost on the way.
import { damaged, faultsSurvived } from '../helpers/faults';

test('flush and flushSync give the fault where the range has a lost page, and sync the rest', () =>
  faultsSurvived(`
    ${damaged}
    b[0] = 1;
    same[0] = 1;
    assert.throws(() => m.flushSync(), at(2));
    await assert.rejects(m.flush(), at(2));
    await assert.rejects(m.flush({ offset: 5 * PAGE + 3, length: 1 }), at(5));
    assert.throws(() => m.flushSync({ offset: 3 * PAGE - 1, length: 2 }), at(2));
    m.flushSync({ offset: 0, length: 2 * PAGE });
    await m.flush({ offset: 0, length: 1 });
    intact();
    assert.equal(fs.readFileSync(path).equals(same.subarray(0, 2 * PAGE)), true);
  `));

test('asyncDispose rejects with the fault, and the mapping stays as it is', () =>
  faultsSurvived(`
    ${damaged}
    await assert.rejects(m[Symbol.asyncDispose](), at(2));
    intact();
    truncate(path, 8 * PAGE);
    await m.repair();
    await m[Symbol.asyncDispose]();
    assert.equal(m.state, 'unmapped');
    assert.equal(fs.readFileSync(path).equals(same), true);
  `));

test('repair rejects while the file is too short, again and again, and keeps everything', () =>
  faultsSurvived(`
    ${damaged}
    for (let i = 0; i < 3; i++) await assert.rejects(m.repair(), at(2));
    intact();
    assert.equal(fs.statSync(path).size, 2 * PAGE);
    truncate(path, 8 * PAGE);
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(b.equals(same), true);
    assert.equal(fs.readFileSync(path).equals(same), true);
    await m.flush();
    await m.repair();
    await turn();
    assert.equal(errors.length, 1);
  `));

test('repair writes the bytes that were written, and keeps those of another process between them', () =>
  faultsSurvived(`
    ${damaged}
    b.write('ours', 4 * PAGE + 100);
    b[8 * PAGE - 1] = 255;
    truncate(path, 8 * PAGE);
    // On the same page, before, between and behind ours, and over ours.
    anotherWrites(path, 4 * PAGE, 'theirs');
    anotherWrites(path, 4 * PAGE + 50, 'theirs');
    anotherWrites(path, 4 * PAGE + 102, 'theirs');
    anotherWrites(path, 6 * PAGE - 3, 'theirs');
    assert.equal(b[4 * PAGE], 0);
    await m.repair();
    same.write('theirs', 4 * PAGE);
    same.write('theirs', 4 * PAGE + 50);
    same.write('theirs', 4 * PAGE + 102);
    same.write('theirs', 6 * PAGE - 3);
    same.write('ours', 4 * PAGE + 100);
    same[8 * PAGE - 1] = 255;
    assert.equal(fs.readFileSync(path).equals(same), true);
    assert.equal(b.equals(same), true);
  `));

test('repair where the file ends inside a page: what lies beyond is not taken, and not lost', () =>
  faultsSurvived(`
    ${damaged}
    b[7 * PAGE + 2000] = 99;
    same[7 * PAGE + 2000] = 99;
    truncate(path, 7 * PAGE + 1000);
    await assert.rejects(m.repair(), at(7));
    assert.equal(b.equals(same), true);
    assert.equal(fs.statSync(path).size, 7 * PAGE + 1000);
    truncate(path, 7 * PAGE + 2001);
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(fs.readFileSync(path).equals(same.subarray(0, 7 * PAGE + 2001)), true);
  `));

test('repair of a read-only mapping gives the pages back', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 0);
    assert.equal(isAll(b, 0), true);
    await assertTold(errors, assertLost(m, 0, 8 * PAGE), m);
    await assert.rejects(m.repair(), isFault(m));
    fs.writeFileSync(path, Buffer.alloc(8 * PAGE, 'n'));
    await m.repair();
    assert.equal(isAll(b, 110), true);
    assert.equal(m.protection, 'read');
    assert.equal(regionAt(m.address).mode, 'r--s');
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('repair while it is still written to, here and in the thread pool: nothing is lost', () =>
  faultsSurvived(`
    const crypto = require('node:crypto');
    const length = 1024 * PAGE;
    const path = scratch(length);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    m.on('fault', () => {});
    const b = m.buffer;
    for (let round = 1; round <= 20; round++) {
      truncate(path, 0);
      b.fill(round, 0, length / 2);
      truncate(path, length);
      const half = m.view(length / 2);
      const filled = new Promise((resolve) => crypto.randomFill(half, resolve));
      const repaired = m.repair();
      // Between its pieces.
      for (let at = 7; at < length / 2; at += PAGE / 2) b[at] = round + 100;
      await Promise.all([filled, repaired]);
      await m.repair();
      assert.deepEqual(m.faults, []);
      const want = Buffer.alloc(length / 2, round);
      for (let at = 7; at < length / 2; at += PAGE / 2) want[at] = round + 100;
      const file = fs.readFileSync(path);
      assert.equal(file.subarray(0, length / 2).equals(want), true);
      assert.equal(file.equals(b), true);
    }
  `));

test('two repairs at once, and repair with unmap: one after the other, or ERR_MEMMAP_BUSY', () =>
  faultsSurvived(`
    ${damaged}
    truncate(path, 8 * PAGE);
    const both = Promise.all([m.repair(), m.repair()]);
    assert.throws(() => m.unmap(), { code: 'ERR_MEMMAP_BUSY' });
    assert.throws(() => m.replace({ anonymous: m.length }), { code: 'ERR_MEMMAP_BUSY' });
    assert.throws(() => m.resize(PAGE), { code: 'ERR_MEMMAP_BUSY' });
    await both;
    assert.deepEqual(m.faults, []);
    assert.equal(fs.readFileSync(path).equals(same), true);
    m.unmap();
    await assert.rejects(m.repair(), { code: 'ERR_MEMMAP_UNMAPPED' });
  `));

test('repair without a fault, of memory without a file, and of an empty mapping does nothing', () =>
  faultsSurvived(`
    const path = scratch(PAGE);
    const file = memmap.mapFileSync(path);
    await file.repair();
    assert.equal(file.buffer[0], 97);
    await file.repair();
    await memmap.mapAnonymous(PAGE).repair();
    await memmap.mapFileSync(scratch('')).repair();
    assert.deepEqual(file.faults, []);
  `));

const callers: Record<string, string> = {
  read: 'm.read(3 * PAGE, 1)',
  write: "m.write(3 * PAGE, 'x')",
  readAsync: 'm.readAsync(3 * PAGE, 1)',
  writeAsync: "m.writeAsync(3 * PAGE, 'x')",
  flushSync: 'm.flushSync({ offset: 3 * PAGE, length: PAGE })',
  flush: 'm.flush({ offset: 3 * PAGE, length: PAGE })',
  "advise('dontneed')": "m.advise('dontneed', { offset: 3 * PAGE, length: PAGE })",
  protect: "m.protect('read', { offset: 3 * PAGE, length: PAGE })",
  'sys.msync': 'memmap.sys.msync(m.address + BigInt(3 * PAGE), PAGE, memmap.constants.MS_SYNC)',
};

for (const [name, call] of Object.entries(callers)) {
  test(`the fault that ${name} throws says which mapping, which bytes, which file`, () =>
    faultsSurvived(`
      ${damaged}
      await assert.rejects(async () => ${call}, (error) => {
        assert.ok(at(3)(error));
        assert.equal(error.mapping, m);
        assert.equal(error.length, PAGE);
        assert.match(error.message, /^ERR_MEMMAP_FAULT: the file is shorter than the mapping: /);
        return true;
      });
      intact();
    `));
}
