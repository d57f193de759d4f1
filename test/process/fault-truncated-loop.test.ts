// The file is truncated by another process while optimized code runs over a view of it without a pause.
import { faultsSurvived } from '../helpers/faults';

/** Of a Uint8Array `b` of 'a': the same number until the file is cut. */
const readers: Record<string, string> = {
  'an index': '(b) => { let sum = 0; for (let i = 0; i < b.length; i++) sum += b[i]; return sum; }',
  'an Int32Array': `(b) => {
    const words = new Int32Array(b.buffer, b.byteOffset, b.length >> 2);
    let sum = 0;
    for (let i = 0; i < words.length; i++) sum = (sum + words[i]) | 0;
    return sum;
  }`,
  'a Float64Array': `(b) => {
    const words = new Float64Array(b.buffer, b.byteOffset, b.length >> 3);
    let sum = 0;
    for (let i = 0; i < words.length; i++) sum += words[i];
    return sum;
  }`,
  DataView: `(b) => {
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    let sum = 0;
    for (let at = 0; at < b.length; at += 4) sum += view.getUint32(at);
    return sum;
  }`,
  'Atomics.load': `(b) => {
    const words = new Int32Array(b.buffer, b.byteOffset, b.length >> 2);
    let sum = 0;
    for (let i = 0; i < words.length; i++) sum = (sum + Atomics.load(words, i)) | 0;
    return sum;
  }`,
  readUInt32LE:
    '(b) => { let sum = 0; for (let i = 0; i < b.length; i += 4) sum += b.readUInt32LE(i); return sum; }',
  indexOf: '(b) => b.indexOf(98) + b.indexOf(0)',
  equals: '(b) => b.equals(Buffer.alloc(b.length, 97))',
  latin1Slice: "(b) => b.latin1Slice(0, b.length).lastIndexOf('a')",
};

for (const [name, read] of Object.entries(readers)) {
  test(`truncated while a hot loop reads it by ${name}`, () =>
    faultsSurvived(`
      const path = scratch(64 * PAGE);
      const m = memmap.mapFileSync(path);
      const errors = listen(m);
      const b = m.buffer;
      const read = ${read};
      const whole = read(b);
      for (let i = 0; i < 300; i++) assert.equal(read(b), whole);
      const cutting = truncateSoon(path, 4 * PAGE);
      const cut = once(cutting, 'exit');
      while (read(b) === whole);
      await cut;
      // The pages that it had passed by then.
      read(b);
      Buffer.from(b);
      const faults = assertLost(m, 4 * PAGE, 64 * PAGE);
      await assertTold(errors, faults, m);
      const same = cutBytes(4 * PAGE, 64 * PAGE);
      assert.equal(b.equals(same), true);
      assert.equal(read(b), read(same));
    `));
}

test('truncated while a hot loop writes to it: what was written from then on is all there', () =>
  faultsSurvived(`
    const path = scratch(Buffer.alloc(64 * PAGE));
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    const write = (value) => { for (let i = 0; i < b.length; i++) b[i] = value; };
    for (let i = 0; i < 300; i++) write(i & 255);
    const cut = once(truncateSoon(path, 4 * PAGE), 'exit');
    let round = 0;
    while (m.faults.length === 0) write(1 + (round++ % 250));
    await cut;
    write(251);
    const { faults } = m;
    assert.equal(faults.reduce((sum, { count }) => sum + count, 0), 60);
    assert.equal(faults.every(({ kind, offset }) => kind === 'truncated' && offset >= 4 * PAGE), true);
    await assertTold(errors, faults, m);
    assert.equal(isAll(b, 251), true);
    assert.equal(fs.readFileSync(path).equals(Buffer.alloc(4 * PAGE, 251)), true);
    await assert.rejects(m.flush(), isFault(m));
    truncate(path, 64 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path).equals(Buffer.alloc(64 * PAGE, 251)), true);
  `));

test('truncated and extended by another process again and again, under a loop that reads and repairs', () =>
  faultsSurvived(`
    const path = scratch(64 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    let told = 0;
    for (let round = 0; round < 20; round++) {
      const keep = (round % 8) * 8 * PAGE;
      truncate(path, keep);
      const same = cutBytes(keep, 64 * PAGE, round === 0 ? 97 : 100);
      assert.equal(b.equals(same), true);
      told += assertLost(m, keep, 64 * PAGE).length;
      await assert.rejects(m.repair(), isFault(m));
      fs.writeFileSync(path, Buffer.alloc(64 * PAGE, 100));
      await m.repair();
      assert.deepEqual(m.faults, []);
      assert.equal(isAll(b, 100), true);
      await turn();
      assert.equal(errors.length, told);
    }
  `));

test('more faults in no order than are recorded one by one: the last stands for the rest', () =>
  faultsSurvived(`
    const path = scratch(256 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 0);
    for (let page = 255; page >= 0; page--) assert.equal(b[page * PAGE], 0);
    const { faults } = m;
    assert.equal(faults.reduce((sum, { count }) => sum + count, 0), 256);
    assert.equal(faults[0].offset, 255 * PAGE);
    const rest = faults.at(-1);
    assert.deepEqual([rest.offset, rest.fileOffset], [0, 0n]);
    assert.equal(rest.length, (256 - (faults.length - 1)) * PAGE);
    assert.equal(faults.every(({ kind }) => kind === 'truncated'), true);
    await assertTold(errors, faults, m);
    // From here on records are made again.
    truncate(path, 256 * PAGE);
    await m.repair();
    truncate(path, 0);
    assert.equal(b[0], 0);
    assertLost(m, 0, PAGE);
  `));

test('a large file, cut to nothing: every page is told, and given back in one repair', () =>
  faultsSurvived(`
    const length = 2 ** 28;
    const path = scratch('');
    truncate(path, length);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    assert.equal(b.length, length);
    truncate(path, 0);
    // Every third page: none of them lies next to another.
    let met = 0;
    for (let at = 0; at < length; at += 3 * PAGE, met++) b[at] = 7;
    const { faults } = m;
    assert.equal(faults.every(({ kind }) => kind === 'truncated'), true);
    assert.ok(faults.reduce((sum, { count }) => sum + count, 0) > 1000);
    await assertTold(errors, faults, m);
    for (let at = 0; at < length; at += PAGE) assert.equal(b[at], at % (3 * PAGE) === 0 ? 7 : 0);
    assert.equal(fs.statSync(path).size, 0);
    truncate(path, length);
    await m.repair();
    assert.deepEqual(m.faults, []);
    const fd = fs.openSync(path, 'r');
    const page = Buffer.alloc(2);
    for (let at = 0; at < length; at += PAGE) {
      fs.readSync(fd, page, 0, 2, at);
      assert.equal(page[0], at % (3 * PAGE) === 0 ? 7 : 0);
    }
    await m[Symbol.asyncDispose]();
  `));
