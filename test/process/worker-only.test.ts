// The addon is loaded by workers alone, and they are gone: its code and its books must not go with them.
import { expectClean } from '../helpers/child';
import { runProgram } from './program';

// runProgram has loaded memmap already, so these start a fresh Node from a fresh Node.
const fresh = (source: string) => `
const { spawnSync } = require('node:child_process');
const program = ${JSON.stringify(`
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { once } = require('node:events');
const { Worker } = require('node:worker_threads');
const { setImmediate: turn } = require('node:timers/promises');
const [entry, path] = process.argv.slice(1);
const loaded = () => /memmap[^/]*\\.node/.test(fs.readFileSync('/proc/self/maps', 'latin1'));
const work = (source) => {
  const worker = new Worker('const memmap = require(' + JSON.stringify(entry) + '); const path = ' + JSON.stringify(path) +
    "; const { parentPort } = require('node:worker_threads');" + source, { eval: true });
  worker.ended = once(worker, 'exit');
  return worker;
};
(async () => {
  assert.equal(loaded(), false);
`)}
+ ${JSON.stringify(source)} + "\\nconsole.log('the end'); })();";
const path = scratch(16 * PAGE);
const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', program, entry, path], { encoding: 'utf8' });
assert.deepEqual({ status, signal, stdout: stdout.trimEnd().split('\\n').at(-1) }, { status: 0, signal: null, stdout: 'the end' }, stderr);
`;

const survivesFresh = async (source: string) => {
  expectClean(await runProgram(fresh(source)));
};

test('then the main thread maps', () =>
  survivesFresh(`
    for (let i = 0; i < 3; i++) {
      await work("globalThis.kept = memmap.mapFileSync(path).buffer; kept[0];").ended;
      assert.equal(loaded(), true);
    }
    const memmap = require(entry);
    const m = memmap.mapFileSync(path);
    assert.equal(m.buffer[0], 97);
    m.unmap();
  `));

test('terminated, then another worker maps', () =>
  survivesFresh(`
    for (let i = 0; i < 5; i++) {
      const worker = work("const m = memmap.mapFileSync(path); const b = m.buffer; parentPort.postMessage(b[0]); setInterval(() => b[0], 1);");
      assert.deepEqual(await once(worker, 'message'), [97]);
      await worker.terminate();
      assert.equal(fs.readFileSync('/proc/self/maps', 'latin1').includes(path), false);
    }
  `));

test('and the process goes on without ever loading it', () =>
  survivesFresh(`
    await work("globalThis.kept = Array.from({ length: 100 }, () => memmap.mapFileSync(path).buffer);").ended;
    for (let i = 0; i < 20; i++) { gc(); await turn(); }
    const worker = work("memmap.mapFileSync(path).flush(); memmap.mapAnonymous(100).unmap();");
    await worker.ended;
  `));

test('process.exit in the main thread while the worker holds mappings', () =>
  survivesFresh(`
    const worker = work("const b = memmap.mapFileSync(path).buffer; parentPort.postMessage(b[0]); for (;;) b[0];");
    await once(worker, 'message');
    console.log('the end');
    process.exit(0);
  `));

test('a buffer that was transferred out of it lives on', () =>
  survivesFresh(`
    if (!('transfer' in ArrayBuffer.prototype)) console.error('no transfer in this Node');
    else {
      const worker = work("const moved = memmap.mapFileSync(path, { access: 'copy-on-write' }).buffer.buffer.transfer(); parentPort.postMessage(moved, [moved]);");
      const [buffer] = await once(worker, 'message');
      await worker.ended;
      const bytes = new Uint8Array(buffer);
      for (let i = 0; i < 20; i++) { bytes.fill(i); gc(); await turn(); assert.equal(bytes[0], i); }
    }
  `));
