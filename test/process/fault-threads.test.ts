// The thread that meets a fault need not be the one that owns the mapping: the owner's loop tells of it.
import { faultsSurvived } from '../helpers/faults';
import { testTransfer, withGc } from './program';

const cut = `
const crypto = require('node:crypto');
const zlib = require('node:zlib');
const { promisify } = require('node:util');
const path = scratch(16 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
const errors = listen(m);
const b = m.buffer;
const same = cutBytes(4 * PAGE, 16 * PAGE);
`;

// Work on a Buffer, as a promise of something that can be compared.
const jobs: Record<string, string> = {
  'zlib.deflate': '(b) => promisify(zlib.deflate)(b)',
  'zlib.gzip': '(b) => promisify(zlib.gzip)(b)',
  'zlib.brotliCompress': `(b) =>
    promisify(zlib.brotliCompress)(b, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } })`,
  'crypto.pbkdf2': "(b) => promisify(crypto.pbkdf2)(b, b, 2, 32, 'sha512')",
  'crypto.scrypt': '(b) => promisify(crypto.scrypt)(b, b.subarray(8 * PAGE), 32, { N: 1024 })',
  'crypto.hkdf': "(b) => promisify(crypto.hkdf)('sha256', b, b, '', 32).then(Buffer.from)",
  'subtle.digest': "(b) => crypto.subtle.digest('SHA-512', b).then(Buffer.from)",
  'crypto.checkPrime':
    '(b) => promisify(crypto.checkPrime)(b.subarray(4 * PAGE - 9, 4 * PAGE + 9))',
  'a hash as a stream': `async (b) => {
    const hash = crypto.createHash('sha256');
    await require('node:stream/promises').pipeline(require('node:stream').Readable.from([b]), hash);
    return hash.digest('hex');
  }`,
  'a gzip stream': `async (b) => {
    const parts = [];
    const packed = require('node:stream').Readable.from([b]).pipe(zlib.createGzip());
    for await (const part of packed) parts.push(part);
    return Buffer.concat(parts);
  }`,
};

/** Those that read the Buffer in the thread pool; the others copy it first. */
const inPool = new Set(['zlib.deflate', 'zlib.gzip', 'zlib.brotliCompress', 'a gzip stream']);

for (const [name, job] of Object.entries(jobs)) {
  test(`truncated, then read by ${name}`, () =>
    faultsSurvived(`
      ${cut}
      truncate(path, 4 * PAGE);
      const start = ${job};
      const result = await start(b);
      const first = m.faults[0].offset;
      assert.ok(first >= 4 * PAGE);
      Buffer.from(b);
      const faults = assertLost(m, 4 * PAGE, 16 * PAGE, 'any');
      if (${String(inPool.has(name))}) assert.notEqual(faults[0].thread, process.pid);
      assert.deepEqual(result, await start(same));
      await assertTold(errors, faults, m);
    `));

  test(`truncated while ${name} reads it, again and again`, () =>
    faultsSurvived(`
      ${cut}
      const start = ${job};
      for (let round = 0; round < 10; round++) {
        const many = Array.from({ length: 8 }, () => start(b));
        const cutting = once(truncateSoon(path, 4 * PAGE), 'exit');
        await Promise.all(many);
        await cutting;
        Buffer.from(b);
        assert.equal(m.faults.every(({ kind, offset }) => kind === 'truncated' && offset >= 4 * PAGE), true);
        assert.equal(m.faults.reduce((sum, { count }) => sum + count, 0), 12);
        assert.equal(b.equals(same), true);
        fs.writeFileSync(path, Buffer.alloc(16 * PAGE, 'a'));
        await m.repair();
        assert.equal(isAll(b, 97), true);
      }
      await turn();
      assert.ok(errors.length >= 10);
    `));
}

test('filled in the thread pool: what was written to lost pages reaches the file', () =>
  faultsSurvived(`
    ${cut}
    truncate(path, 4 * PAGE);
    await promisify(crypto.randomFill)(b);
    const faults = assertLost(m, 4 * PAGE, 16 * PAGE, 'any');
    assert.notEqual(faults[0].thread, process.pid);
    await assertTold(errors, faults, m);
    const random = Buffer.from(b);
    assert.equal(random.subarray(12 * PAGE).equals(Buffer.alloc(4 * PAGE)), false);
    await assert.rejects(m.flush(), isFault(m));
    truncate(path, 16 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path).equals(random), true);
  `));

test('many threads of the pool meet the same pages at once: each page is told once, no byte is wiped', () =>
  faultsSurvived(
    `
    ${cut}
    const length = 256 * PAGE;
    for (let round = 0; round < 20; round++) {
      const file = scratch(length);
      const n = memmap.mapFileSync(file, { access: 'read-write' });
      n.on('fault', () => {});
      const whole = n.buffer;
      truncate(file, 0);
      // Four threads fill the four quarters of a page, page after page.
      const quarter = PAGE / 4;
      const windows = Array.from({ length: 4 * 256 }, (_, i) => whole.subarray(i * quarter, (i + 1) * quarter));
      await Promise.all(windows.map((window) => promisify(crypto.randomFill)(window)));
      assert.equal(n.faults.reduce((sum, { count }) => sum + count, 0), 256);
      // 64 zero bytes in a row do not come about by chance: nobody wiped what another had written.
      const zeros = Buffer.alloc(64);
      assert.equal(whole.indexOf(zeros), -1);
      const bytes = Buffer.from(whole);
      truncate(file, length);
      await n.repair();
      assert.equal(fs.readFileSync(file).equals(bytes), true);
      n.unmap();
    }
  `,
    { env: { UV_THREADPOOL_SIZE: '8' } },
  ));

const inWorker = `
const { execFileSync } = require('node:child_process');
const assert = require('node:assert/strict');
`;

test("a worker's own mapping: the event comes in the worker, and nowhere else", () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const own = memmap.mapFileSync(path);
    own.on('fault', () => assert.fail('told to another thread'));
    assert.equal(own.buffer[0], 97);
    const worker = startWorker(\`
      ${inWorker}
      const PAGE = memmap.pageSize;
      const m = memmap.mapFileSync(workerData);
      const b = m.buffer;
      // A listener does not hold it.
      globalThis.held = m;
      m.on('fault', (error) => {
        const { code, errno, syscall, kind, offset, fileOffset, length, count, signal, thread, path } = error;
        parentPort.postMessage({ code, errno, syscall, kind, offset, fileOffset, length, count, signal, thread,
          path, same: error.mapping === m, records: m.faults.length, sum: b.indexOf(0) });
        parentPort.close();
      });
      execFileSync('truncate', ['-s', String(4 * PAGE), workerData]);
      parentPort.postMessage(b.indexOf('b'));
    \`, path);
    const said = [];
    worker.on('message', (message) => said.push(message));
    assert.deepEqual(await worker.ended, [0]);
    const { thread, ...rest } = said[1];
    assert.equal(said[0], -1);
    assert.notEqual(thread, process.pid);
    assert.deepEqual(rest, { code: 'ERR_MEMMAP_FAULT', errno: -14, syscall: 'page_fault', kind: 'truncated',
      offset: 4 * PAGE, fileOffset: BigInt(4 * PAGE), length: 12 * PAGE, count: 12, signal: 'SIGBUS', path,
      same: true, records: 1, sum: 4 * PAGE });
    assert.deepEqual(own.faults, []);
    await turn();
  `));

test('one file mapped by the main thread and by two workers that read it without a pause', () =>
  faultsSurvived(`
    const path = scratch(64 * PAGE);
    const m = memmap.mapFileSync(path);
    const errors = listen(m);
    const ready = new Int32Array(new SharedArrayBuffer(4));
    const workers = [1, 2].map(() => startWorker(\`
      ${inWorker}
      const [path, ready] = workerData;
      const m = memmap.mapFileSync(path);
      const PAGE = memmap.pageSize;
      const b = m.buffer;
      const told = [];
      m.on('fault', (error) => told.push(error));
      const sum = () => { let total = 0; for (let i = 0; i < b.length; i++) total += b[i]; return total; };
      const whole = sum();
      Atomics.add(ready, 0, 1);
      Atomics.notify(ready, 0);
      while (sum() === whole);
      // All of it, now that the file is cut.
      Atomics.wait(ready, 0, 2);
      const cut = sum();
      const faults = m.faults;
      await new Promise(setImmediate);
      assert.equal(told.length, faults.length);
      assert.equal(faults.every(({ kind, signal }) => kind === 'truncated' && signal === 'SIGBUS'), true);
      assert.equal(new Set(faults.map(({ thread }) => thread)).size, 1);
      assert.equal(told.every((error, i) => error.offset === faults[i].offset && error.mapping === m), true);
      parentPort.postMessage({ cut, pages: faults.reduce((all, { count }) => all + count, 0), thread: faults[0].thread });
    \`, [path, ready]));
    for (const worker of workers) {
      worker.said = new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    }
    while (Atomics.load(ready, 0) < 2) await turn();
    truncate(path, 4 * PAGE);
    Atomics.store(ready, 0, 3);
    Atomics.notify(ready, 0);
    const reports = await Promise.all(workers.map(({ said }) => said));
    for (const { cut, pages } of reports) assert.deepEqual([cut, pages], [97 * 4 * PAGE, 60]);
    const threads = new Set(reports.map(({ thread }) => thread));
    assert.equal(threads.size, 2);
    assert.equal(threads.has(process.pid), false);
    // Nobody has met anything in this one yet.
    assert.deepEqual(m.faults, []);
    assert.equal(m.buffer[5 * PAGE], 0);
    await assertTold(errors, assertLost(m, 5 * PAGE, 6 * PAGE), m);
    await Promise.all(workers.map(({ ended }) => ended));
  `));

test('a worker ends with a fault that nobody took: the others go on', () =>
  faultsSurvived(`
    for (const end of ['process.exit(0)', 'await worker.terminate()', 'parentPort.close()']) {
      const path = scratch(16 * PAGE);
      const worker = startWorker(\`
        const m = memmap.mapFileSync(workerData);
        const b = m.buffer;
        m.on('fault', () => {});
        require('node:child_process').execFileSync('truncate', ['-s', '0', workerData]);
        b.indexOf(1);
        parentPort.postMessage('met');
        \${end.startsWith('await') ? 'setInterval(() => {}, 2 ** 30);' : end + ';'}
      \`, path);
      const met = new Promise((resolve) => worker.on('message', resolve).on('exit', resolve));
      await met;
      if (end.startsWith('await')) await worker.terminate();
      await worker.ended;
      assert.equal(showsFile(path), false);
      const own = scratch(16 * PAGE);
      const m = memmap.mapFileSync(own);
      const errors = listen(m);
      m.buffer[0];
      truncate(own, PAGE);
      assert.equal(m.buffer[2 * PAGE], 0);
      await assertTold(errors, assertLost(m, 2 * PAGE, 3 * PAGE), m);
    }
  `));

testTransfer('an ArrayBuffer moved to a worker, which faults: told where the mapping is', () =>
  faultsSurvived(`
    const path = scratch(16 * PAGE);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    const errors = listen(m);
    // This one never loads the addon.
    const worker = new Worker(\`
      const { parentPort } = require('node:worker_threads');
      parentPort.on('message', ({ moved, path, length, PAGE }) => {
        const bytes = new Uint8Array(moved);
        require('node:child_process').execFileSync('truncate', ['-s', String(length), path]);
        const found = bytes.lastIndexOf(97);
        bytes.fill(98, 15 * PAGE);
        parentPort.postMessage(found);
      });
    \`, { eval: true });
    const moved = m.buffer.buffer.transfer();
    // A listener does not hold it.
    globalThis.held = m;
    const heard = once(m, 'fault');
    worker.postMessage({ moved, path, length: 4 * PAGE, PAGE }, [moved]);
    assert.deepEqual(await once(worker, 'message'), [4 * PAGE - 1]);
    await heard;
    const { faults } = m;
    assert.equal(faults.every(({ kind, thread }) => kind === 'truncated' && thread !== process.pid), true);
    assert.equal(faults.reduce((sum, { count }) => sum + count, 0), 12);
    await assertTold(errors, faults, m);
    truncate(path, 16 * PAGE);
    await m.repair();
    assert.equal(fs.readFileSync(path)[16 * PAGE - 1], 98);
    await worker.terminate();
  `),
);

testTransfer(
  'a moved ArrayBuffer that is all that is left of the mapping: its fault is uncaught',
  () =>
    faultsSurvived(
      `
    const path = scratch(16 * PAGE);
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    let gone = false;
    const watcher = new FinalizationRegistry(() => { gone = true; });
    let moved = (() => {
      const m = memmap.mapFileSync(path);
      watcher.register(m);
      return m.buffer.buffer.transfer();
    })();
    await collectUntil(() => gone, 'the Mapping is gone');
    const bytes = new Uint8Array(moved);
    assert.equal(bytes[0], 97);
    truncate(path, 4 * PAGE);
    assert.equal(bytes[5 * PAGE], 0);
    const awake = setInterval(() => {}, 2 ** 30);
    while (thrown.length === 0) await turn();
    clearInterval(awake);
    const [error] = thrown;
    assert.deepEqual([error.code, error.kind, error.errno], ['ERR_MEMMAP_FAULT', 'truncated', -14]);
    assert.equal(error.fileOffset, BigInt(5 * PAGE));
    assert.equal(thrown.length, 1);
  `,
      withGc,
    ),
);
