// The file is truncated by another program; then every way JavaScript has to write to a view meets the missing pages.
// What was written stays readable, the file stays as short as it is, and once it is long again repair() writes it there.
import { faultsSurvived } from '../helpers/faults';

const words = (kind: string, body: string) =>
  `(b) => { const words = new ${kind}(b.buffer, b.byteOffset, b.length / ${kind}.BYTES_PER_ELEMENT);
    for (let i = 0; i < words.length; i++) { ${body} } }`;

// Of a Buffer of 16 pages of which 4 are left in the file.
const writes: Record<string, string> = {
  'an index': '(b) => { for (let i = 0; i < b.length; i++) b[i] = i & 255; }',
  'an index, from the end': '(b) => { for (let i = b.length - 1; i >= 0; i--) b[i] = i % 251; }',
  'a read and a write of it': '(b) => { for (let i = 0; i < b.length; i++) b[i] += i; }',
  'fill of a byte': '(b) => b.fill(98)',
  'fill of a string': "(b) => b.fill('xyz')",
  'Uint8Array fill': '(b) => Uint8Array.prototype.fill.call(b, 255)',
  set: '(b) => b.set(Buffer.alloc(b.length, 99))',
  'set of an array': '(b) => b.set(Array.from({ length: b.length }, (_, i) => i % 256))',
  'set of itself, moved': '(b) => b.set(b.subarray(0, b.length - 100), 100)',
  copy: "(b) => Buffer.alloc(b.length, 'copy').copy(b)",
  copyWithin: '(b) => b.copyWithin(PAGE / 2, 0)',
  'copyWithin, to the front':
    '(b) => { b.fill(7, 15 * PAGE); b.copyWithin(0, 100); b.fill(8, 4 * PAGE); }',
  'write latin1': "(b) => b.write('w'.repeat(b.length), 'latin1')",
  'write utf8': "(b) => b.write('\\u00e9'.repeat(b.length / 2), 'utf8')",
  'write utf16le': "(b) => b.write('uv'.repeat(b.length / 4), 'utf16le')",
  'write hex': "(b) => b.write('a1'.repeat(b.length), 'hex')",
  'write base64': "(b) => b.write(Buffer.alloc(b.length, 'base').toString('base64'), 'base64')",
  'TextEncoder encodeInto':
    "(b) => new TextEncoder().encodeInto('\\u20ac'.repeat(b.length / 3), b)",
  'writeUInt32LE and others': `(b) => {
    for (let at = 0; at < b.length; at += 16) {
      b.writeUInt32LE(at + 1, at);
      b.writeDoubleBE(at / 3, at + 4);
      b.writeIntLE(-at, at + 12, 3);
    }
  }`,
  DataView: `(b) => {
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    for (let at = 0; at < b.length; at += 8) view.setFloat64(at, at + 0.5);
    for (let at = 0; at < b.length; at += 8) view.setInt16(at, at);
  }`,
  sort: '(b) => b.sort()',
  'sort by a function': '(b) => b.subarray(3 * PAGE).sort((x, y) => y - x)',
  reverse: '(b) => b.reverse()',
  swap16: '(b) => { b[4 * PAGE] = 1; b[12 * PAGE] = 2; b.swap16(); }',
  swap32: '(b) => { b[4 * PAGE] = 1; b[12 * PAGE] = 2; b.swap32(); }',
  swap64: '(b) => { b[4 * PAGE] = 1; b[12 * PAGE] = 2; b.swap64(); }',
  'Atomics.store': words('Int32Array', 'Atomics.store(words, i, i);'),
  'Atomics.add': words('Int16Array', 'Atomics.add(words, i, i);'),
  'Atomics.or': words('Uint8Array', 'Atomics.or(words, i, 6);'),
  'Atomics.exchange': words('BigUint64Array', 'Atomics.exchange(words, i, BigInt(i));'),
  'Atomics.compareExchange': words(
    'Int32Array',
    'Atomics.compareExchange(words, i, 0, i); Atomics.compareExchange(words, i, 0x61616161, 5);',
  ),
  'a Float64Array': words('Float64Array', 'words[i] = i / 7;'),
  'createHash digest of it into it': `(b) => {
    const hash = require('node:crypto').createHash('sha512').update(b).digest();
    for (let at = 0; at < b.length; at += hash.length) b.set(hash, at);
  }`,
};

for (const [name, write] of Object.entries(writes)) {
  test(`truncated, then written by ${name}`, () =>
    faultsSurvived(`
      const path = scratch(16 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const errors = listen(m);
      const b = m.buffer;
      assert.equal(isAll(b, 97), true);
      truncate(path, 4 * PAGE);
      const write = ${write};
      const same = cutBytes(4 * PAGE, 16 * PAGE);
      write(same);
      write(b);
      const faults = assertLost(m, 4 * PAGE, 16 * PAGE);
      assert.equal(b.equals(same), true);
      assert.equal(fs.readFileSync(path).equals(same.subarray(0, 4 * PAGE)), true);
      await assertTold(errors, faults, m);
      assert.throws(() => m.flushSync(), isFault(m));
      truncate(path, 16 * PAGE);
      await m.repair();
      assert.deepEqual(m.faults, []);
      assert.equal(fs.readFileSync(path).equals(same), true);
      assert.equal(b.equals(same), true);
      // It is the file's memory again.
      anotherWrites(path, 9 * PAGE, 'another');
      assert.equal(b.toString('latin1', 9 * PAGE, 9 * PAGE + 7), 'another');
      await m.flush();
      await turn();
      assert.equal(errors.length, faults.length);
    `));
}

test('truncated, then filled by crypto: random bytes reach the file too', () =>
  faultsSurvived(`
    const crypto = require('node:crypto');
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 4 * PAGE);
    crypto.randomFillSync(b);
    const faults = assertLost(m, 4 * PAGE, 16 * PAGE);
    await assertTold(errors, faults, m);
    const random = Buffer.from(b);
    assert.notEqual(random.indexOf(1, 8 * PAGE), -1);
    truncate(path, 16 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path).equals(random), true);
  `));

test('fs calls that write to the view in the kernel give EFAULT or stop short, and there is no fault', () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const other = scratch(Buffer.alloc(16 * PAGE, 'o'));
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    m.on('fault', () => assert.fail('a fault'));
    const b = m.buffer;
    truncate(path, 4 * PAGE);
    const fd = fs.openSync(other, 'r');
    const bad = { code: 'EFAULT', errno: -14, syscall: 'read' };
    assert.throws(() => fs.readSync(fd, b, 4 * PAGE, PAGE, 0), bad);
    assert.equal(fs.readSync(fd, b, 0, b.length, 0), 4 * PAGE);
    const handle = await fs.promises.open(other, 'r');
    await assert.rejects(handle.read(b, 5 * PAGE, PAGE, 0), bad);
    await handle.close();
    assert.deepEqual(m.faults, []);
    assert.equal(isAll(fs.readFileSync(path), 'o'.charCodeAt(0)), true);
    assert.equal(fs.statSync(path).size, 4 * PAGE);
  `));

test('read() and write() of what was not touched yet are EFAULT; of a lost page they throw the fault', () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    const b = m.buffer;
    truncate(path, 4 * PAGE);
    assert.throws(() => m.read(8 * PAGE, 10), { code: 'EFAULT', syscall: 'process_vm_readv', offset: 8 * PAGE });
    assert.throws(() => m.write(8 * PAGE, 'lost'), { code: 'EFAULT', syscall: 'process_vm_writev' });
    await assert.rejects(m.readAsync(8 * PAGE, 10), { code: 'EFAULT' });
    await assert.rejects(m.writeAsync(8 * PAGE, 'lost'), { code: 'EFAULT' });
    assert.deepEqual(m.faults, []);
    assert.equal(b[8 * PAGE], 0);
    const faults = assertLost(m, 8 * PAGE, 9 * PAGE);
    assert.throws(() => m.read(8 * PAGE, 10), isFault(m));
    assert.throws(() => m.read(8 * PAGE - 10, 20), isFault(m));
    assert.throws(() => m.write(9 * PAGE - 1, 'x'), isFault(m));
    await assert.rejects(m.readAsync(8 * PAGE, 10), isFault(m));
    await assert.rejects(m.writeAsync(8 * PAGE, 'lost'), isFault(m));
    assert.equal(isAll(b.subarray(8 * PAGE, 9 * PAGE), 0), true);
    assert.throws(() => m.read(9 * PAGE, 10), { code: 'EFAULT' });
    assert.equal(m.write(0, 'kept'), 4);
    assert.equal(m.read(0, 4).toString(), 'kept');
    await assertTold(errors, faults, m);
    assert.equal(fs.readFileSync(path).toString('latin1', 0, 5), 'kepta');
  `));
