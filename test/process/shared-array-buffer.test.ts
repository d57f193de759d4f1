// One mapping, the same bytes in every worker: SharedArrayBuffers over shared mappings, which nobody can detach.
import { faultsSurvived } from '../helpers/faults';
import { testWhere, withGc } from './program';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const since: Record<number, number> = { 22: 23, 24: 21, 26: 7 };
const canShare = major > 26 || minor >= (since[major] ?? Infinity);
const testShared = testWhere(
  canShare,
  `Node ${process.versions.node} has no external SharedArrayBuffers`,
);

/** What a child starts with. */
const shared = (source: string) => `
const path = scratch(16 * PAGE);
let m = memmap.mapFileSync(path, { access: 'read-write' });
let sab = m.sharedArrayBuffer;
let bytes = new Uint8Array(sab);
// Runs in a worker, with the SharedArrayBuffer as \`sab\` and its bytes; answers what it returns.
function inWorker(body) {
  const code = 'const { parentPort, workerData: sab } = require("node:worker_threads");' +
    'const bytes = new Uint8Array(sab); parentPort.postMessage((() => {' + body + '})());';
  const worker = new Worker(code, { eval: true, workerData: sab });
  return Promise.all([once(worker, 'message'), once(worker, 'exit')]).then(([[message]]) => message);
}
${source}
`;

testWhere(!canShare, 'this Node has the call')('a Node without the call says which have it', () =>
  faultsSurvived(`
    const m = memmap.mapFileSync(scratch(PAGE));
    assert.throws(() => m.sharedArrayBuffer, { code: 'ERR_MEMMAP_UNSUPPORTED', message: /22\\.23, 24\\.21, 26\\.7/ });
    assert.equal(m.buffer[0], 97);
    m.unmap();
  `),
);

testShared('the same bytes for this thread, a worker, the file and its Buffer', () =>
  faultsSurvived(
    shared(`
    assert.equal(m.sharedArrayBuffer, sab);
    assert.equal(sab.byteLength, 16 * PAGE);
    assert.equal(await inWorker('bytes[5] = 42; return Atomics.add(new Int32Array(sab), 2, 1)'), 0x61616161);
    assert.equal(bytes[5], 42);
    assert.equal(m.buffer[5], 42);
    assert.equal(fs.readFileSync(path)[5], 42);
    assert.equal(Atomics.load(new Int32Array(sab), 2), 0x61616162);
  `),
  ),
);

testShared('Atomics.wait in a worker is woken by this thread', () =>
  faultsSurvived(
    shared(`
    const words = new Int32Array(sab);
    words[0] = 0;
    const woken = inWorker('return Atomics.wait(new Int32Array(sab), 0, 0)');
    while (Atomics.notify(words, 0) === 0) await turn();
    assert.equal(await woken, 'ok');
  `),
  ),
);

testShared('truncated under two workers that read it: told to the owner, and all of it once', () =>
  faultsSurvived(
    shared(`
    const errors = listen(m);
    truncate(path, 4 * PAGE);
    const sum = 'let sum = 0; for (const byte of bytes) sum += byte; return sum';
    const sums = await Promise.all([inWorker(sum), inWorker(sum)]);
    assert.deepEqual(sums, [4 * PAGE * 97, 4 * PAGE * 97]);
    await turn();
    const { faults } = m;
    assert.equal(faults.reduce((pages, { length }) => pages + length / PAGE, 0), 12);
    assert.ok(faults.every(({ kind, thread }) => kind === 'truncated' && thread !== process.pid));
    assert.equal(errors.length, faults.length);
    truncate(path, 16 * PAGE);
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(await inWorker('return bytes[15 * ' + PAGE + ']'), 0);
  `),
  ),
);

testShared('unmapped: zeros for everybody who has it, and the file is released', () =>
  faultsSurvived(
    shared(`
    const other = new Worker('const { parentPort, workerData } = require("node:worker_threads");' +
      'const bytes = new Uint8Array(workerData); parentPort.on("message", () => {' +
      'bytes[7] = 1; parentPort.postMessage([bytes[0], bytes[7]]); parentPort.close(); })',
      { eval: true, workerData: sab });
    m.unmap();
    assert.equal(showsFile(path), false);
    assert.deepEqual([sab.byteLength, bytes[0]], [16 * PAGE, 0]);
    other.postMessage('look');
    const [seen] = await once(other, 'message');
    assert.deepEqual(seen, [0, 1]);
    assert.equal(bytes[7], 1);
    assert.equal(fs.readFileSync(path)[7], 97);
  `),
  ),
);

testShared('memory that it shows must stay readable', () =>
  faultsSurvived(
    shared(`
    assert.throws(() => m.protect('none'), { code: 'ERR_MEMMAP_BUSY' });
    assert.equal(bytes[0], 97);
    m.protect('read');
    m.on('fault', () => undefined);
    bytes[0] = 1;
    assert.equal(m.faults[0].kind, 'read-only');
    await turn();
    assert.equal(bytes[0], 97);
  `),
  ),
);

testShared('replace shows the new contents in it, resize leaves zeros and gives another', () =>
  faultsSurvived(
    shared(`
    const next = scratch(Buffer.alloc(16 * PAGE, 'b'));
    m.replace({ file: next, access: 'read-write' });
    assert.equal(bytes[0], 98);
    assert.equal(await inWorker('return bytes[1]'), 98);
    m.resize(64 * PAGE);
    const grown = m.sharedArrayBuffer;
    assert.equal(grown.byteLength, 64 * PAGE);
    assert.equal(new Uint8Array(grown)[0], 98);
    assert.equal(new Uint8Array(m.sharedArrayBuffer)[16 * PAGE], 0);
    assert.equal(bytes.length, 16 * PAGE);
    assert.ok([0, 98].includes(bytes[0]));
  `),
  ),
);

testShared('the memory lives as long as a worker has it, and goes with the last', () =>
  faultsSurvived(
    shared(`
    const worker = new Worker('const { parentPort, workerData } = require("node:worker_threads");' +
      'const bytes = new Uint8Array(workerData); parentPort.on("message", (bye) => {' +
      'if (bye) parentPort.close(); else parentPort.postMessage(bytes[3]); })',
      { eval: true, workerData: sab });
    await once(worker, 'online');
    m = sab = bytes = undefined;
    for (let i = 0; i < 5; i++) { gc(); await turn(); }
    worker.postMessage(false);
    assert.deepEqual(await once(worker, 'message'), [97]);
    assert.equal(showsFile(path), true);
    worker.postMessage(true);
    await once(worker, 'exit');
    for (let i = 0; i < 20 && showsFile(path); i++) { gc(); await turn(); }
    assert.equal(showsFile(path), false);
  `),
    withGc,
  ),
);

testShared(
  'private memory has none; an empty file has one of no bytes; odd offsets are refused',
  () =>
    faultsSurvived(
      shared(`
    const refused = { code: 'ERR_MEMMAP_UNSUPPORTED' };
    assert.throws(() => memmap.mapAnonymous(PAGE).sharedArrayBuffer, refused);
    assert.throws(() => memmap.mapFileSync(path, { access: 'copy-on-write' }).sharedArrayBuffer, refused);
    assert.throws(() => memmap.mapFileSync(path, { offset: 3 }).sharedArrayBuffer, refused);
    assert.equal(memmap.mapFileSync(scratch(0)).sharedArrayBuffer.byteLength, 0);
    assert.equal(memmap.mapAnonymous(100, { shared: true }).sharedArrayBuffer.byteLength, 100);
    m.unmap();
    assert.throws(() => m.sharedArrayBuffer, { code: 'ERR_MEMMAP_UNMAPPED' });
  `),
    ),
);

testShared('the worker that made it has ended: zeros, and the file is released', () =>
  faultsSurvived(`
    const path = scratch(4 * PAGE);
    const code = 'const { parentPort, workerData } = require("node:worker_threads");' +
      'const { mapFileSync } = require(workerData[0]);' +
      // Collected before the worker ends, it would leave its memory to whoever has the rest.
      'globalThis.kept = mapFileSync(workerData[1]);' +
      'parentPort.postMessage(kept.sharedArrayBuffer);';
    const worker = new Worker(code, { eval: true, workerData: [entry, path] });
    const [[sab]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    const bytes = new Uint8Array(sab);
    assert.deepEqual([bytes.length, bytes[0], bytes[4 * PAGE - 1]], [4 * PAGE, 0, 0]);
    assert.equal(showsFile(path), false);
    bytes.fill(1);
    assert.equal(fs.readFileSync(path)[0], 97);
  `),
);
