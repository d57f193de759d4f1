// Stray writes: whatever JavaScript writes with, memory that is read-only shows after the event what it showed before.
import { survives } from './program';

/** In scope of a child: five pages of which all but the last can be read only, in every kind of mapping. */
const tools = `
const { execFileSync } = require('node:child_process');
const crypto = require('node:crypto');
const { errno } = require('node:os').constants;
const reads = (path) => execFileSync('cat', [path], { maxBuffer: 1 << 30 });
const LENGTH = 5 * PAGE;
const expected = Buffer.from(Array.from({ length: LENGTH }, (_, at) => (at * 7 + (at >> 8) * 13) % 251 + 1));
const readOnly = { code: 'ERR_MEMMAP_FAULT', kind: 'read-only', syscall: 'page_fault', errno: -errno.EACCES };

function filled(m) {
  m.write(0, expected);
  m.protect('read', { offset: 0, length: 4 * PAGE });
  return m;
}
const { PROT_READ, MAP_SHARED, MAP_PRIVATE } = memmap.constants;
const bySys = (kind) => {
  const path = scratch(expected);
  const fd = fs.openSync(path);
  const m = memmap.sys.mmap(0, LENGTH, PROT_READ, kind, fd, 0);
  fs.closeSync(fd);
  return { path, m };
};
const withPath = (make) => {
  const path = scratch(expected);
  return { path, m: make(path) };
};
const kinds = {
  'a file': () => withPath((path) => memmap.mapFileSync(path)),
  'a file at an odd offset': () => {
    const path = scratch(Buffer.concat([Buffer.alloc(13, 'h'), expected]));
    return { path, m: memmap.mapFileSync(path, { offset: 13 }) };
  },
  'a file, made read-only': () => withPath((path) => filled(memmap.mapFileSync(path, { access: 'read-write' }))),
  'private pages of a file': () => withPath((path) => filled(memmap.mapFileSync(path, { access: 'copy-on-write' }))),
  'private pages of a file, nothing written': () => withPath((path) => {
    const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
    m.protect('read');
    return m;
  }),
  'a snapshot': () => withPath((path) => {
    const m = memmap.mapFileSync(path, { access: 'snapshot' });
    m.protect('read');
    return m;
  }),
  'anonymous memory': () => ({ m: filled(memmap.mapAnonymous(LENGTH)) }),
  'shared anonymous memory': () => ({ m: filled(memmap.mapAnonymous(LENGTH, { shared: true })) }),
  'sys.mmap of a file': () => bySys(MAP_SHARED),
  'sys.mmap of a file, private': () => bySys(MAP_PRIVATE),
};

// Each changes bytes of the first four pages.
const viewOf = (bytes, Kind) => new Kind(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
const dataView = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const upTo = (bytes, pages) => bytes.subarray(0, pages * PAGE);
const ways = {
  index: (b) => { b[PAGE] = 0; },
  'index, over and over': (b) => { for (let at = 0; at < 3 * PAGE; at++) b[at] = at; },
  destructuring: (b) => { [b[1], b[2 * PAGE]] = [0, 0]; },
  'Reflect.set': (b) => Reflect.set(b, PAGE + 9, 0),
  'Object.assign': (b) => Object.assign(b, [0, 0]),
  fill: (b) => b.fill(0, 10, 4 * PAGE),
  'fill with a word': (b) => b.fill('word', 10, 3 * PAGE),
  'Uint8Array.prototype.fill': (b) => Uint8Array.prototype.fill.call(b, 0, 0, 3 * PAGE),
  'Array.prototype.fill': (b) => Array.prototype.fill.call(b, 0, 0, 100),
  set: (b) => b.set(Buffer.alloc(3 * PAGE), 5),
  'set from an array': (b) => b.set([0, 0, 0], PAGE - 1),
  copy: (b) => Buffer.alloc(2 * PAGE).copy(b, PAGE + 1),
  write: (b) => b.write('written across a page', PAGE - 4),
  'write utf16le': (b) => b.write('written', PAGE - 4, 'utf16le'),
  'write latin1': (b) => b.write('written', PAGE - 4, 'latin1'),
  'write hex': (b) => b.write('00ff00ff', PAGE - 2, 'hex'),
  'write base64': (b) => b.write('AAAAAAAA', PAGE - 2, 'base64'),
  writeUInt8: (b) => b.writeUInt8(0, 7),
  writeUInt16BE: (b) => b.writeUInt16BE(0, PAGE - 1),
  writeInt32LE: (b) => b.writeInt32LE(0, PAGE - 2),
  writeUIntBE: (b) => b.writeUIntBE(0, PAGE - 3, 6),
  writeBigInt64LE: (b) => b.writeBigInt64LE(0n, 2 * PAGE),
  writeFloatLE: (b) => b.writeFloatLE(0, PAGE),
  writeDoubleBE: (b) => b.writeDoubleBE(0, PAGE),
  copyWithin: (b) => b.copyWithin(0, PAGE + 1, 3 * PAGE),
  reverse: (b) => upTo(b, 4).reverse(),
  sort: (b) => upTo(b, 2).sort(),
  'sort with a function': (b) => upTo(b, 1).sort((one, other) => other - one),
  swap16: (b) => upTo(b, 2).swap16(),
  swap32: (b) => upTo(b, 2).swap32(),
  swap64: (b) => upTo(b, 2).swap64(),
  'a Float64Array': (b) => { new Float64Array(new Uint8Array(b.buffer, b.byteOffset - (b.byteOffset % 8), 8 * 8).buffer, b.byteOffset - (b.byteOffset % 8) + 8, 4)[1] = 0; },
  'Atomics.store': (b) => Atomics.store(b, PAGE, 0),
  'Atomics.add': (b) => Atomics.add(b, 2 * PAGE, 1),
  'Atomics.exchange': (b) => Atomics.exchange(b, 1, 0),
  'Atomics.compareExchange': (b) => Atomics.compareExchange(b, 1, b[1], 0),
  'DataView.setUint8': (b) => dataView(b).setUint8(3, 0),
  'DataView.setFloat64': (b) => dataView(b).setFloat64(PAGE - 4, 0),
  'DataView.setBigUint64': (b) => dataView(b).setBigUint64(PAGE - 4, 0n, true),
  'TextEncoder.encodeInto': (b) => new TextEncoder().encodeInto('x'.repeat(2 * PAGE), b),
  'crypto.randomFillSync': (b) => crypto.randomFillSync(upTo(b, 2)),
  'crypto.getRandomValues': (b) => crypto.getRandomValues(upTo(b, 2)),
  'crypto.randomFill': (b) => new Promise((done, failed) =>
    crypto.randomFill(upTo(b, 2), (error) => (error ? failed(error) : done()))),
};
`;

/** Runs the ways on the kinds: what happened, what was told, what is left. */
const runAll = (kinds: string, ways: string) => `
${tools}
for (const kind of ${kinds}) {
  const { path, m } = kinds[kind]();
  const before = path === undefined ? undefined : fs.readFileSync(path);
  const { buffer } = m;
  let told = [];
  m.on('fault', (error) => told.push(error));
  for (const way of ${ways}) {
    const what = kind + ': ' + way;
    assert.equal(buffer.equals(expected), true, what);
    await ways[way](buffer);
    // What another thread wrote may have been told, and undone, by now.
    const alone = way !== 'crypto.randomFill';
    if (alone) assert.equal(buffer.equals(expected), false, what);
    const { faults } = m;
    assert.ok(faults.length > 0, what);
    for (const each of faults) {
      assert.deepEqual([each.kind, each.signal], ['read-only', 'SIGSEGV'], what);
      assert.equal(each.thread === process.pid, alone, what);
      // A writer that goes on and on is let on in growing steps, but never into what is writable.
      const most = m.protection === 'mixed' ? 4 * PAGE : LENGTH;
      assert.ok(each.offset >= 0 && each.length > 0 && each.offset + each.length <= most, what);
      assert.equal(each.address, m.address + BigInt(each.offset), what);
      assert.equal(each.fileOffset, path === undefined || kind === 'a snapshot' ? 0n : m.fileOffset + BigInt(each.offset), what);
    }
    await turn();
    assert.equal(told.length, faults.length, what);
    for (const { code, kind, syscall, errno, mapping } of told) {
      assert.deepEqual({ code, kind, syscall, errno }, readOnly, what);
      assert.equal(mapping, m, what);
    }
    assert.equal(buffer.equals(expected), true, what);
    await m.repair();
    assert.deepEqual(m.faults, [], what);
    told = [];
  }
  if (path !== undefined) {
    await m.flush();
    assert.equal(reads(path).equals(before), true, kind);
    const shown = regions().filter(({ start, end }) => start < m.address + BigInt(m.length) && m.address < end);
    if (kind !== 'a snapshot') assert.deepEqual([...new Set(shown.map(({ name }) => name))], [path], kind);
  }
  if (m.protection === 'mixed') {
    // The part that can be written to.
    buffer[4 * PAGE] ^= 1;
    assert.equal(buffer[4 * PAGE], expected[4 * PAGE] ^ 1);
    assert.deepEqual(m.faults, []);
  }
  assert.deepEqual(memmap.registry.verify(), []);
}
`;

const every = 'Object.keys(kinds)';

test('every way to write, to a file', () => survives(runAll("['a file']", 'Object.keys(ways)')));

test('every way to write, to every kind of mapping', () =>
  survives(runAll(every, 'Object.keys(ways)')));

test.each(['procmap_query', 'process_vm', 'populate', 'procmap_query,process_vm,populate'])(
  'without %s',
  (denied) =>
    survives(runAll(every, "['index', 'fill', 'reverse', 'crypto.randomFill']"), {
      env: { MEMMAP_DENY: denied },
    }),
);

const inAll = (body: string) => `
${tools}
for (const [kind, make] of Object.entries(kinds)) {
  const { path, m } = make();
  const { buffer } = m;
  ${body}
}
`;

test('calls of memmap and of the kernel refuse by themselves, and nothing is told', () =>
  survives(
    inAll(`
      assert.throws(() => m.write(1, 'x'), { code: 'ERR_MEMMAP_READ_ONLY' }, kind);
      await assert.rejects(m.writeAsync(1, 'x'), { code: 'ERR_MEMMAP_READ_ONLY' }, kind);
      const fd = fs.openSync(process.execPath);
      assert.throws(() => fs.readSync(fd, buffer, 10, 2 * PAGE, 0), { code: 'EFAULT', syscall: 'read' }, kind);
      assert.throws(() => fs.readvSync(fd, [buffer.subarray(PAGE, 2 * PAGE)], 0), { code: 'EFAULT' }, kind);
      await assert.rejects(new Promise((done, failed) =>
        fs.read(fd, buffer, 10, PAGE, 0, (error) => (error ? failed(error) : done()))), { code: 'EFAULT' }, kind);
      const handle = await fs.promises.open(process.execPath);
      await assert.rejects(handle.read(buffer, 10, PAGE, 0), { code: 'EFAULT' }, kind);
      await handle.close();
      fs.closeSync(fd);
      await turn();
      assert.deepEqual(m.faults, [], kind);
      assert.equal(buffer.equals(expected), true, kind);
    `),
  ));

test('nobody listens: an uncaught exception', () =>
  survives(
    inAll(`
      const caught = once(process, 'uncaughtException');
      buffer[PAGE] = 0;
      assert.equal(m.faults.length, 1);
      const [error] = await caught;
      assert.deepEqual([error.code, error.kind, error.errno, error.mapping], [readOnly.code, readOnly.kind, readOnly.errno, m]);
      assert.equal(buffer.equals(expected), true);
    `),
  ));

test('guarded() throws it, and the write is undone by then', () =>
  survives(
    inAll(`
      assert.throws(() => m.guarded(() => { buffer[PAGE] = 0; }), readOnly);
      assert.equal(buffer.equals(expected), true, kind);
      await assert.rejects(m.guarded(async () => {
        await turn();
        buffer.reverse();
      }), readOnly);
      assert.equal(buffer.subarray(0, 4 * PAGE).equals(expected.subarray(0, 4 * PAGE)), true, kind);
    `),
  ));

test('flush() of a file that somebody wrote to in vain is no error once it was told', () =>
  survives(`
    ${tools}
    const { path, m } = kinds['a file, made read-only']();
    m.on('fault', () => {});
    m.buffer.fill(0, 0, 2 * PAGE);
    assert.equal(m.faults.length, 1);
    await turn();
    await m.flush();
    assert.equal(m.faults.length, 1);
    assert.equal(reads(path).equals(expected), true);
  `));

test('what others write to the file is seen again after the event', () =>
  survives(`
    ${tools}
    const { path, m } = kinds['a file']();
    m.on('fault', () => {});
    m.buffer[0] = 0;
    const fd = fs.openSync(path, 'r+');
    fs.writeSync(fd, 'others', 10);
    assert.equal(m.buffer.toString('latin1', 10, 16), expected.toString('latin1', 10, 16));
    assert.equal(m.faults.length, 1);
    await turn();
    assert.equal(m.buffer.toString('latin1', 10, 16), 'others');
    assert.equal(m.buffer[0], expected[0]);
    fs.writeSync(fd, 'and so on', 10);
    assert.equal(m.buffer.toString('latin1', 10, 19), 'and so on');
  `));

test('a fill of 64 MiB needs few regions, and gives all of them back', () =>
  survives(`
    ${tools}
    const SIZE = 64 << 20;
    const path = scratch(0);
    fs.truncateSync(path, SIZE);
    const file = memmap.mapFileSync(path);
    const anonymous = memmap.mapAnonymous(SIZE);
    anonymous.protect('read');
    for (const m of [file, anonymous]) {
      const told = [];
      m.on('fault', (error) => told.push(error));
      const { buffer } = m;
      buffer[0];
      const before = regions().length;
      buffer.fill(7);
      const during = regions().length - before;
      assert.ok(during < 200, String(during));
      assert.equal(buffer[SIZE - 1], 7);
      assert.equal(m.faults.reduce((sum, { length }) => sum + length, 0), SIZE);
      await turn();
      assert.equal(told[0].kind, 'read-only');
      assert.equal(buffer.indexOf(7), -1);
      // Not counted in all: V8 has regions that come and go.
      const end = m.address + BigInt(SIZE);
      const left = regions().filter((region) => m.address < region.end && region.start < end);
      assert.equal(left.length, 1);
      await m.repair();
    }
    // Not its blocks: on tmpfs a look at a hole takes some.
    assert.ok(fs.readFileSync(path).equals(Buffer.alloc(SIZE)));
    assert.deepEqual(memmap.registry.verify(), []);
  `));

test('a loop that is hot long before the pages are made read-only', () =>
  survives(`
    ${tools}
    const path = scratch(expected);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const told = [];
    m.on('fault', ({ kind }) => told.push(kind));
    const { buffer } = m;
    const add = (bytes, n) => {
      for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] + n) & 0xff;
    };
    for (let round = 0; round < 512; round++) add(buffer, 1);
    assert.equal(buffer.equals(expected), true);
    m.protect('read');
    add(buffer, 1);
    assert.ok(m.faults.length > 0);
    await turn();
    assert.deepEqual([...new Set(told)], ['read-only']);
    assert.equal(buffer.equals(expected), true);
    assert.equal(reads(path).equals(expected), true);
    await m.repair();
    m.protect('read-write');
    add(buffer, 1);
    assert.deepEqual(m.faults, []);
    assert.equal(reads(path)[0], (expected[0] + 1) & 0xff);
  `));

test("a worker's own mapping: told there, not here", () =>
  survives(`
    ${tools}
    const path = scratch(expected);
    const here = memmap.mapFileSync(path);
    assert.equal(here.buffer.equals(expected), true);
    const worker = startWorker(\`
      const m = memmap.mapFileSync(workerData);
      // A listener does not hold it.
      globalThis.held = m;
      m.on('fault', ({ kind, thread, offset }) => parentPort.postMessage([kind, thread, offset, m.buffer[5000]]));
      m.buffer.fill(0, 5000, 5001);
    \`, path);
    const [[kind, thread, offset, byte]] = await once(worker, 'message');
    assert.deepEqual([kind, offset, byte], ['read-only', PAGE, expected[5000]]);
    assert.notEqual(thread, process.pid);
    await worker.ended;
    assert.deepEqual(here.faults, []);
    assert.equal(reads(path).equals(expected), true);
  `));
