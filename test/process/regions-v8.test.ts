// What the guesses about V8 are worth: each program makes V8 take memory of one kind and looks whether the
// regions of that kind grew by as much.
import { survives, withGc } from './program';

const MiB = 2 ** 20;

/** In scope of the children. */
const kit = `
const all = () => memmap.addressSpace.regions();
const ofKind = (kind) => all().filter(({ owner }) => owner.kind === kind);
const bytesOf = (kind) => ofKind(kind).reduce((sum, { length }) => sum + length, 0);
const residentOf = (kind) => ofKind(kind).reduce((sum, { resident }) => sum + resident, 0);
const near = (value, wanted, slack) =>
  assert.ok(Math.abs(value - wanted) <= slack, value + ' is not within ' + slack + ' of ' + wanted);
`;

test('200 MB of objects are 200 MB of V8 heap', () =>
  survives(
    `${kit}
    const { getHeapStatistics } = require('node:v8');
    gc();
    const start = getHeapStatistics();
    const before = { total: bytesOf('v8-heap'), resident: residentOf('v8-heap') };
    const objects = [];
    while (getHeapStatistics().total_heap_size < start.total_heap_size + 200e6) {
      for (let i = 0; i < 20_000; i++) objects.push({ at: objects.length, text: 'x' + objects.length });
    }
    const end = getHeapStatistics();
    const total = end.total_heap_size - start.total_heap_size;
    const physical = end.total_physical_size - start.total_physical_size;
    assert.ok(total >= 200e6);
    near(bytesOf('v8-heap') - before.total, total, 0.1 * total);
    near(residentOf('v8-heap') - before.resident, physical, 0.15 * physical);
    assert.ok(ofKind('v8-heap').every(({ owner }) => owner.certain === false && owner.label === 'V8 heap'));
    assert.ok(objects.length > 0);
  `,
    { ...withGc, timeout: 55_000 },
  ));

test('Buffers are no V8 heap', () =>
  survives(
    `${kit}
    gc();
    const before = { heap: bytesOf('v8-heap'), anonymous: bytesOf('anonymous') };
    const buffer = Buffer.alloc(${64 * MiB}, 1);
    near(bytesOf('v8-heap') - before.heap, 0, ${4 * MiB});
    near(bytesOf('anonymous') - before.anonymous, buffer.length, ${4 * MiB});
  `,
    withGc,
  ));

test('a WebAssembly.Memory is a wasm region with its guards, and what is grown is in it', () =>
  survives(`${kit}
    assert.equal(ofKind('wasm').length, 0);
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 1000 });
    new Uint8Array(memory.buffer).fill(7);
    const open = () => ofKind('wasm').filter(({ protection }) => protection === 'read-write');
    assert.equal(open().length, 1);
    const [region] = open();
    assert.equal(region.length, 2 * 65536);
    assert.equal(region.resident, 2 * 65536);
    assert.ok(bytesOf('wasm') >= 8 * 2 ** 30, String(bytesOf('wasm')));
    memory.grow(98);
    assert.equal(open()[0].start, region.start);
    assert.equal(open()[0].length, 100 * 65536);
    const second = new WebAssembly.Memory({ initial: 1 });
    assert.equal(open().reduce((sum, { length }) => sum + length, 0), 101 * 65536);
    assert.equal(ofKind('wasm').every(({ owner }) => !owner.certain && owner.label === 'WebAssembly memory'), true);
    assert.equal(second.buffer.byteLength, 65536);
  `));

test('compiled code is in the code range', () =>
  survives(`${kit}
    const before = residentOf('v8-code');
    const ranges = ofKind('v8-code');
    assert.ok(ranges.some(({ protection }) => protection.includes('execute')));
    // Spans of a power of two, but for what its alignment costs; neighbours look like one.
    const spans = [];
    for (const { start, end } of ranges) {
      if (spans.at(-1)?.end === start) spans.at(-1).end = end;
      else spans.push({ start, end });
    }
    for (const { start, end } of spans) {
      const rest = Number(end - start) % ${32 * MiB};
      assert.ok(Math.min(rest, ${32 * MiB} - rest) <= ${MiB}, String(end - start));
    }
    const functions = [];
    for (let i = 0; i < 3000; i++) {
      const f = new Function('a', 'b', 'let s = ' + i + '; for (let i = 0; i < a; i++) s += i * b; return s;');
      for (let turns = 0; turns < 60; turns++) f(50, turns);
      functions.push(f);
    }
    assert.ok(residentOf('v8-code') > before + 2 ** 19, residentOf('v8-code') + ' after ' + before);
    const outside = all().filter(({ owner, protection, path }) =>
      path === undefined && protection.includes('execute') && owner.kind !== 'v8-code');
    assert.deepEqual(outside.map(String), []);
  `));

test('a worker brings its own heap', () =>
  survives(`${kit}
    const before = bytesOf('v8-heap');
    const worker = startWorker(
      'const kept = []; for (let i = 0; i < 500_000; i++) kept.push({ i, text: "x" + i });' +
      'parentPort.postMessage(process.memoryUsage().heapTotal); setInterval(() => kept.length, 1000);');
    const [heapTotal] = await once(worker, 'message');
    const grown = bytesOf('v8-heap') - before;
    assert.ok(grown > 0.5 * heapTotal, grown + ' of ' + heapTotal);
    await worker.terminate();
  `));

test('what a reservation of V8 takes is none of the kinds that are in use', () =>
  survives(`${kit}
    for (const region of ofKind('v8-cage')) {
      assert.equal(region.owner.certain, false);
      assert.equal(region.path, undefined);
    }
    // Nothing large and inaccessible is left unexplained.
    const large = all().filter(({ owner, length, protection }) =>
      protection === 'none' && length >= ${64 * MiB} && owner.kind === 'anonymous');
    assert.deepEqual(large.map((each) => JSON.stringify(each)), []);
  `));
