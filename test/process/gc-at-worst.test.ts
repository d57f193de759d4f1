// Garbage collection at the worst moment: inside the calls, between any two of them, moving everything that can move.
import { amount } from '../helpers/amount';
import { survives } from './program';

const life = `
const path = scratch(16 * PAGE);
const target = Buffer.alloc(PAGE);
async function life(i) {
  const m = i % 2
    ? memmap.mapFileSync(path, { access: 'copy-on-write', length: 8 * PAGE })
    : memmap.mapAnonymous(8 * PAGE, { shared: i % 4 === 0 });
  const views = [m.buffer, m.view(PAGE, PAGE)];
  m.write(0, 'hello');
  assert.equal(views[0].toString('latin1', 0, 5), 'hello');
  const kept = new DataView(m.buffer.buffer);
  const pending = i % 3 === 0 ? [m.flush(), m.readAsync(0, target), m.prefetch()] : [];
  m.protect('read', { offset: PAGE, length: PAGE });
  m.protect('read-write');
  if (i % 5 === 0) await Promise.all(pending);
  if (i % 7 === 0 && pending.length === 0 && (i % 2 === 1 || i % 4 !== 0)) m.resize(16 * PAGE);
  if (i % 11 === 0 && pending.length === 0) m.replace({ anonymous: m.length });
  if (i % 13 === 0 && pending.length === 0) {
    memmap.sys.munmap(m.address + BigInt(PAGE), PAGE, { replace: m });
    assert.equal(m.parts.length, 2);
  }
  await Promise.all(pending);
  if (i % 4 === 1) return views[0];
  m.unmap();
  assert.equal(views[0].length, 0);
  assert.throws(() => kept.getInt8(0), TypeError);
}
`;

// In a release build of V8 --gc-interval and --stress-compaction only set the stage; what really collects is counted.
const flags: string[][] = [
  ['--stress-incremental-marking', '--gc-interval=50'],
  ['--stress-incremental-marking', '--stress-compaction', '--gc-global', '--single-threaded-gc'],
  ['--stress-incremental-marking', '--max-semi-space-size=1', '--stress-scavenge=50'],
];

for (const execArgv of flags) {
  test(execArgv.join(' '), () =>
    survives(
      `
      const { PerformanceObserver } = require('node:perf_hooks');
      let collections = 0;
      new PerformanceObserver((list) => { collections += list.getEntries().length; }).observe({ entryTypes: ['gc'] });
      ${life}
      const kept = [];
      for (let i = 0; i < ${String(amount(100, 200))}; i++) {
        kept.push(await life(i));
        // Garbage of all sizes, so that the collector has work.
        for (let j = 0; j < 500; j++) globalThis.garbage = { j, list: new Array(j) };
      }
      for (const view of kept) if (view) view[0] = 1;
      assert.deepEqual(memmap.registry.verify(), []);
      await turn();
      assert.ok(collections > 3, String(collections));
    `,
      { execArgv },
    ),
  );
}

test('gc() between any two calls, and in every callback', () =>
  survives(
    `
    ${life}
    const { Mapping } = memmap;
    for (const name of Object.getOwnPropertyNames(Mapping.prototype)) {
      const { value, get, set, ...rest } = Object.getOwnPropertyDescriptor(Mapping.prototype, name);
      if (name === 'constructor') continue;
      const around = (method) => function (...args) {
        gc();
        const answer = method.apply(this, args);
        gc({ type: 'minor' });
        return answer;
      };
      const changed = value ? { ...rest, value: around(value) } : { configurable: true, get: around(get) };
      Object.defineProperty(Mapping.prototype, name, changed);
    }
    for (let i = 0; i < 30; i++) {
      const view = await life(i);
      gc();
      await turn();
      // Zeros where the contents were replaced; nothing where it was moved or cut.
      if (view?.length > 0) assert.ok(view[0] === 104 || view[0] === 0);
    }
  `,
    { execArgv: ['--expose-gc'] },
  ));

test('gc() in getters, valueOf and event listeners', () =>
  survives(
    `
    const path = scratch(4 * PAGE);
    const collecting = (range) => Object.defineProperties({}, Object.fromEntries(
      Object.entries(range).map(([name, value]) => [name, { enumerable: true, get() { gc(); return value; } }])));
    for (let i = 0; i < 30; i++) {
      const m = memmap.mapFileSync(path, collecting({ access: 'read-write', offset: 100, length: PAGE }));
      m.on('unmap', () => gc());
      m.on('replace', () => gc());
      m.buffer[0] = 97;
      m.flushSync(collecting({ offset: 0, length: 10 }));
      await m.flush(collecting({ offset: 0 }), collecting({ onProgress: () => gc() }));
      m.replace(collecting({ file: path, offset: 100, length: PAGE, access: 'copy-on-write' }));
      assert.equal(m.buffer[0], 97);
      m.unmap();
    }
    for (let i = 0; i < 30; i++) {
      // Nothing holds the mapping but the call under way.
      memmap.mapFileSync(path, { access: 'read-write' }).flushSync(collecting({ offset: 0, length: PAGE }));
      assert.equal(memmap.mapFileSync(path).read(0, 4 * PAGE).length, 4 * PAGE);
      memmap.mapFileSync(path).view(0, PAGE)[0];
      memmap.mapAnonymous(PAGE).resize(2 * PAGE);
      memmap.mapAnonymous(PAGE).replace(collecting({ anonymous: PAGE }));
      memmap.mapAnonymous(PAGE).protect('none', collecting({ offset: 0 }));
    }
  `,
    { execArgv: ['--expose-gc'] },
  ));

test('mapping, dropping and collecting in workers at the same time', () =>
  survives(
    `
    const path = scratch(4 * PAGE);
    const workers = Array.from({ length: 4 }, () => startWorker(\`
      const kept = [];
      for (let i = 0; i < 400; i++) {
        const m = memmap.mapFileSync(workerData, { access: 'copy-on-write' });
        m.buffer[0] = i;
        if (i % 4 === 0) m.unmap();
        if (i % 4 === 1) kept.push(m.buffer);
        if (i % 100 === 0) { gc(); await new Promise(setImmediate); }
      }
      parentPort.postMessage(kept.every((view) => view[1] === 97));
    \`, path));
    const answers = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    assert.deepEqual(new Set(answers), new Set([true]));
    await Promise.all(workers.map(({ ended }) => ended));
    assert.equal(showsFile(path), false);
  `,
    { execArgv: ['--expose-gc'] },
  ));
