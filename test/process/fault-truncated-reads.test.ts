// The file is truncated by another program; then every way JavaScript has to read a view meets the missing pages.
// Each gives what it would give for a Buffer of the file's bytes and zeros, and each missing page is told once.
import { faultsSurvived } from '../helpers/faults';
import { testWhere } from './program';

// Of a Buffer `b`, in 16 pages of which 4 are left, and `same`, an ordinary Buffer with the same bytes.
const reads: Record<string, string> = {
  'an index': '(b) => { let sum = 0; for (let i = 0; i < b.length; i++) sum += b[i]; return sum; }',
  'for of': '(b) => { let sum = 0; for (const byte of b) sum += byte; return sum; }',
  spread: '(b) => [...b]',
  'Array.from': '(b) => Array.from(b)',
  reduce: '(b) => b.reduce((sum, byte) => sum + byte, 0)',
  filter: '(b) => b.filter((byte) => byte === 0)',
  findLastIndex: '(b) => b.findLastIndex((byte) => byte === 98)',
  join: "(b) => b.join(',')",
  toSorted: '(b) => b.toSorted()',
  toReversed: '(b) => b.toReversed()',
  'indexOf of a byte': '(b) => b.indexOf(98)',
  'indexOf of a string': "(b) => b.indexOf('ab')",
  'indexOf of a Buffer': "(b) => b.indexOf(Buffer.from('ba'))",
  'lastIndexOf of a string': "(b) => b.lastIndexOf('ab')",
  includes: "(b) => b.includes('ab', 1)",
  'Uint8Array indexOf': '(b) => Uint8Array.prototype.indexOf.call(b, 98)',
  'toString latin1': "(b) => b.toString('latin1')",
  'toString utf8': "(b) => b.toString('utf8')",
  'toString utf16le': "(b) => b.toString('utf16le')",
  'toString hex': "(b) => b.toString('hex')",
  'toString base64': "(b) => b.toString('base64')",
  toJSON: '(b) => b.toJSON().data.length + JSON.stringify(b).length',
  copy: '(b) => { const to = Buffer.alloc(b.length); b.copy(to); return to; }',
  'set from': '(b) => { const to = new Uint8Array(b.length); to.set(b); return to; }',
  'set from, as other numbers':
    '(b) => { const to = new Float64Array(b.length); to.set(b); return to; }',
  'Buffer.from': '(b) => Buffer.from(b)',
  'Buffer.concat': '(b) => Buffer.concat([b, b])',
  'Uint8Array slice': '(b) => Uint8Array.prototype.slice.call(b)',
  'ArrayBuffer slice': '(b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.length)',
  'new Uint16Array': '(b) => new Uint16Array(b)',
  structuredClone: '(b) => structuredClone(b.subarray())',
  'v8.serialize': "(b) => require('node:v8').serialize(b)",
  'compare from it': '(b, same) => b.compare(same)',
  'compare to it': '(b, same) => same.compare(b)',
  'Buffer.compare': '(b, same) => Buffer.compare(b, same)',
  equals: '(b, same) => b.equals(same)',
  timingSafeEqual: "(b, same) => require('node:crypto').timingSafeEqual(b, same)",
  'TextDecoder utf-8': '(b) => new TextDecoder().decode(b)',
  'TextDecoder latin1': "(b) => new TextDecoder('latin1').decode(b)",
  'TextDecoder utf-16': "(b) => new TextDecoder('utf-16le', { fatal: true }).decode(b)",
  'Atomics.load': `(b) => {
    const words = new Int32Array(b.buffer, b.byteOffset, b.length / 4);
    let sum = 0;
    for (let i = 0; i < words.length; i++) sum += Atomics.load(words, i);
    return sum;
  }`,
  'Atomics.load of 64 bits': `(b) => {
    const words = new BigInt64Array(b.buffer, b.byteOffset, b.length / 8);
    let sum = 0n;
    for (let i = 0; i < words.length; i++) sum += Atomics.load(words, i);
    return sum;
  }`,
  DataView: `(b) => {
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    let sum = 0;
    for (let at = 0; at < b.length; at += 8) {
      sum += view.getUint8(at) + view.getInt16(at, true) + view.getFloat64(at) + Number(view.getBigInt64(at));
    }
    return sum;
  }`,
  'readDoubleLE and others': `(b) => {
    let sum = 0;
    for (let at = 0; at < b.length; at += 8) sum += b.readDoubleLE(at) + b.readInt32BE(at) + b.readUIntLE(at, 6);
    return sum;
  }`,
  'a Float64Array':
    '(b) => new Float64Array(b.buffer, b.byteOffset, b.length / 8).reduce((x, y) => x + y)',
  'isUtf8 and isAscii':
    "(b) => { const { isAscii, isUtf8 } = require('node:buffer'); return [isUtf8(b), isAscii(b)]; }",
  createHash: "(b) => require('node:crypto').createHash('sha256').update(b).digest('hex')",
  pbkdf2Sync: "(b) => require('node:crypto').pbkdf2Sync(b, b, 1, 32, 'sha256')",
  'createCipheriv update': `(b) =>
    require('node:crypto').createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(b)`,
  deflateSync: "(b) => require('node:zlib').deflateSync(b)",
  brotliCompressSync: `(b) => {
    const { brotliCompressSync, constants } = require('node:zlib');
    return brotliCompressSync(b, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
  }`,
  StringDecoder: "(b) => new (require('node:string_decoder').StringDecoder)('utf8').write(b)",
  Blob: 'async (b) => Buffer.from(await new Blob([b]).arrayBuffer())',
};

const program = (read: string) => `
const path = scratch(16 * PAGE);
const m = memmap.mapFileSync(path);
const errors = listen(m);
const b = m.buffer;
assert.equal(isAll(b, 97), true);
truncate(path, 4 * PAGE);
const read = ${read};
const same = cutBytes(4 * PAGE, 16 * PAGE);
const result = await read(b, Buffer.from(same));
const faults = assertLost(m, 4 * PAGE, 16 * PAGE);
assert.deepEqual(result, await read(same, Buffer.from(same)));
await assertTold(errors, faults, m);
assert.equal(b.equals(same), true);
assert.equal(m.faults.length, faults.length);
assert.equal(fs.readFileSync(path).equals(Buffer.alloc(4 * PAGE, 'a')), true);
`;

for (const [name, read] of Object.entries(reads)) {
  test(`truncated, then read by ${name}`, () => faultsSurvived(program(read)));
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

testWhere(major > 22 || (major === 22 && minor >= 2), 'zlib.crc32 came with Node 22.2')(
  'truncated, then read by zlib.crc32',
  () => faultsSurvived(program("(b) => require('node:zlib').crc32(b)")),
);

test('truncated, then JSON.parse of its text: a SyntaxError, and the fault says why', () =>
  faultsSurvived(`
    const text = JSON.stringify({ key: 'x'.repeat(3 * PAGE) });
    const path = scratch(text);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    assert.equal(JSON.parse(m.buffer.toString()).key.length, 3 * PAGE);
    truncate(path, PAGE);
    assert.throws(() => JSON.parse(m.buffer.toString()), SyntaxError);
    const faults = assertLost(m, PAGE, text.length);
    await assertTold(errors, faults, m);
  `));

test('what stops before the end of the file meets no fault', () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path);
    m.on('fault', () => assert.fail('a fault'));
    const b = m.buffer;
    truncate(path, 4 * PAGE);
    assert.equal(b.indexOf(97), 0);
    assert.equal(isAll(b.subarray(0, 4 * PAGE), 97), true);
    assert.equal(b.toString('latin1', 0, 10), 'aaaaaaaaaa');
    assert.deepEqual(m.faults, []);
    await turn();
    m.unmap();
  `));

test('fs calls that read the view in the kernel give EFAULT or stop short, and there is no fault', () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path);
    m.on('fault', () => assert.fail('a fault'));
    const b = m.buffer;
    truncate(path, 4 * PAGE);
    const to = scratch('');
    const fd = fs.openSync(to, 'r+');
    const bad = { code: 'EFAULT', errno: -14, syscall: 'write' };
    assert.throws(() => fs.writeSync(fd, b, 4 * PAGE, PAGE, 0), bad);
    assert.equal(fs.fstatSync(fd).size, 0);
    assert.equal(fs.writeSync(fd, b, 0, b.length, 0), 4 * PAGE);
    assert.equal(isAll(fs.readFileSync(to), 97), true);
    assert.throws(() => fs.writevSync(fd, [b.subarray(8 * PAGE)], 0), { code: 'EFAULT', syscall: 'write' });
    const handle = await fs.promises.open(to, 'r+');
    await assert.rejects(handle.write(b, 5 * PAGE, PAGE, 0), bad);
    await assert.rejects(fs.promises.writeFile(handle, b), bad);
    await handle.close();
    await new Promise((resolve) => fs.write(fd, b, 15 * PAGE, 1, 0, (error) => {
      assert.equal(error.code, 'EFAULT');
      resolve();
    }));
    assert.deepEqual(m.faults, []);
    assert.equal(fs.fstatSync(fd).size, 4 * PAGE);
  `));
