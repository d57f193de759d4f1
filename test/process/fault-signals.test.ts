// SIGBUS and SIGSEGV that are not ours reach whom they are meant for, before, after and amid faults that are.
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildOptions } from '../helpers/child';
import { Scratch } from '../helpers/files';
import { buildWild, wildTools } from '../helpers/wild';
import { runProgram, survives, testWhere } from './program';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const { addon, missing } = buildWild(scratch.folder);
const testWild = testWhere(missing === undefined, missing ?? '');

/** In scope of a child: faults that the guard mends, and programs of WebAssembly. */
const tools = `
const { execFileSync } = require('node:child_process');
const guarded = { SIGBUS: true, SIGSEGV: true };
// A mapping of which page 1 is beyond the end of its file.
function cut(options) {
  const path = scratch(2 * PAGE);
  const m = memmap.mapFileSync(path, options);
  m.buffer[0];
  fs.truncateSync(path, PAGE);
  return m;
}
async function mends(kind, m, fault) {
  const told = once(m, 'fault');
  fault(m.buffer);
  assert.deepEqual(m.faults.map((each) => each.kind), [kind]);
  assert.equal((await told)[0].kind, kind);
}
const mendsCut = () => mends('truncated', cut(), (buffer) => assert.equal(buffer[PAGE], 0));
const mendsStray = () => mends('read-only', memmap.mapFileSync(scratch(PAGE)), (buffer) => { buffer[0] = 1; });
async function mendsAll() {
  await mendsCut();
  await mendsStray();
}
// (import "e" "f" (func)), (func (export "load") (param i32) (result i32) call 0, i32.load (local.get 0))
const code = Buffer.from(
  '0061736d0100000001090260000060017f017f020701016501660000030201010503010001070801046c6f616400010a0b010900100020002802000b', 'hex');
const load = (f = () => {}) => new WebAssembly.Instance(new WebAssembly.Module(code), { e: { f } }).exports.load;
const traps = (f) => {
  const loads = load(f);
  assert.equal(loads(0), 0);
  assert.throws(() => loads(-1), WebAssembly.RuntimeError);
};
${wildTools(addon)}
`;

const child = (source: string, options?: ChildOptions) => survives(tools + source, options);

/** The child says 'now' and then ends by the signal, and says no more. */
async function dies(signal: NodeJS.Signals, source: string, options?: ChildOptions): Promise<void> {
  const program = `${tools}\nconst now = () => fs.writeSync(1, 'now\\n');\n${source}\nfs.writeSync(1, 'alive\\n');`;
  const result = await runProgram(program, options);
  expect({ ...result, stderr: '' }).toEqual({ code: null, signal, stdout: 'now\n', stderr: '' });
}

const SIGNALS = ['SIGBUS', 'SIGSEGV'] as const;

// What came before it in the process.
const lives: Record<string, string> = {
  'nothing was mapped': '',
  'the guard is installed': 'memmap.mapFileSync(scratch(PAGE)).buffer[0];',
  'faults were mended': 'await mendsAll();',
  'the mappings are gone': `
    const m = cut();
    const told = once(m, 'fault');
    m.buffer[PAGE];
    assert.equal(m.faults.length, 1);
    await told;
    m.unmap();
    assert.deepEqual(memmap.guardStatus().mappings, []);`,
};

describe.each(Object.entries(lives))('%s', (_, life) => {
  test('WebAssembly out of bounds is a RuntimeError', () =>
    child(`
      traps();
      ${life}
      traps();
      await mendsAll();
      traps();
    `));

  test.each(SIGNALS)('process.kill with %s ends the process', (signal) =>
    dies(
      signal,
      `${life} now(); process.kill(process.pid, '${signal}'); setInterval(() => {}, 1000); await new Promise(() => {});`,
    ),
  );

  test.each(SIGNALS)('%s from another process ends it', (signal) =>
    dies(
      signal,
      `${life} now(); execFileSync('kill', ['-s', '${signal}'.slice(3), String(process.pid)]); await new Promise((done) => setTimeout(done, 1e9));`,
    ),
  );

  testWild('a wild pointer is SIGSEGV', () =>
    dies('SIGSEGV', `const wild = loadWild(); ${life} now(); wild.read(NOWHERE);`),
  );

  testWild('a write to code is SIGSEGV', () =>
    dies(
      'SIGSEGV',
      `const wild = loadWild(); ${life} const { start } = regions().find(({ mode }) => mode === 'r-xp'); now(); wild.write(start);`,
    ),
  );

  test('without the guard a truncated file is SIGBUS', () =>
    dies('SIGBUS', `${life} const { buffer } = cut({ guard: false }); now(); buffer[PAGE];`));

  test('without the guard a stray write is SIGSEGV', () =>
    dies(
      'SIGSEGV',
      `${life} const { buffer } = memmap.mapFileSync(scratch(PAGE), { guard: false }); now(); buffer[0] = 1;`,
    ));
});

test('WebAssembly calls what faults, faults while it is called, and traps in a worker meanwhile', () =>
  child(`
    const worker = startWorker(\`
      const code = new WebAssembly.Module(workerData);
      const { load } = new WebAssembly.Instance(code, { e: { f() {} } }).exports;
      let traps = 0;
      let on = true;
      parentPort.once('message', () => { on = false; });
      while (on) {
        for (let i = 0; i < 100; i++) {
          try {
            load(-1);
          } catch (error) {
            if (error instanceof WebAssembly.RuntimeError) traps++;
          }
        }
        await new Promise(setImmediate);
      }
      parentPort.postMessage(traps);
    \`, code);
    for (let round = 0; round < 50; round++) {
      const m = cut();
      const told = once(m, 'fault');
      // A fault below a frame of WebAssembly, and one in whatever is told of it.
      traps(() => m.buffer[PAGE]);
      assert.equal((await told)[0].kind, 'truncated');
      const stray = memmap.mapFileSync(scratch(PAGE));
      stray.on('fault', () => traps());
      traps(() => { stray.buffer[0] = round; });
      await turn();
      const scoped = cut();
      assert.throws(() => scoped.guarded(() => traps(() => scoped.buffer[PAGE])), { kind: 'truncated' });
    }
    worker.postMessage('enough');
    assert.ok((await once(worker, 'message'))[0] > 0);
    await worker.ended;
  `));

test.each(['procmap_query', 'process_vm', 'populate', 'procmap_query,process_vm,populate'])(
  'without %s',
  (denied) =>
    child('traps(); await mendsAll(); traps(); await mendsAll();', {
      env: { MEMMAP_DENY: denied },
    }),
);

test('with --disable-wasm-trap-handler', () =>
  child('traps(); await mendsAll(); traps();', { execArgv: ['--disable-wasm-trap-handler'] }));

testWild('with --disable-wasm-trap-handler a wild pointer is SIGSEGV', () =>
  dies('SIGSEGV', 'const wild = loadWild(); await mendsAll(); now(); wild.read(NOWHERE);', {
    execArgv: ['--disable-wasm-trap-handler'],
  }),
);

testWild('a page of a guarded mapping that may not even be read is a real signal', () =>
  dies(
    'SIGSEGV',
    `
    const wild = loadWild();
    const m = memmap.mapFileSync(scratch(4 * PAGE), { access: 'read-write' });
    const view = m.view(0, PAGE);
    m.protect('none', { offset: 2 * PAGE, length: PAGE });
    assert.equal(view.length, PAGE);
    assert.deepEqual(memmap.guardStatus().mappings, [m]);
    now();
    wild.read(m.address + BigInt(2 * PAGE));
  `,
  ),
);

const freshNode = (end: string): string => `
const program = ${JSON.stringify(`
const [entry, path] = process.argv.slice(1);
const fs = require('node:fs');
const { once } = require('node:events');
const { Worker } = require('node:worker_threads');
const kinds = [];
(async () => {
  const worker = new Worker(\`
    const { parentPort, workerData: [entry, path] } = require('node:worker_threads');
    const m = require(entry).mapFileSync(path);
    m.once('fault', ({ kind }) => parentPort.postMessage(kind));
    m.buffer[0] = 1;
    // Its turn of the loop has to come.
    setImmediate(() => m.faults);
  \`, { eval: true, workerData: [entry, path] });
  worker.on('message', (kind) => kinds.push(kind));
  await once(worker, 'exit');
  const m = require(entry).mapFileSync(path);
  m.buffer[0];
  fs.truncateSync(path, 0);
  const told = once(m, 'fault');
  m.buffer[0];
  kinds.push(m.faults[0].kind);
  await told;
  fs.writeSync(1, kinds.join());
  ${end}
})();
`)};
const { spawnSync } = require('node:child_process');
const { status, signal, stdout, stderr } = spawnSync(
  process.execPath, ['-e', program, entry, scratch(2 * PAGE)], { encoding: 'utf8' });
console.log(JSON.stringify({ status, signal, stdout, stderr }));
`;

// Of a Node that has not loaded memmap itself, as runProgram has.
const tells = async (end: string): Promise<unknown> =>
  JSON.parse((await survives(freshNode(end))).trim());

test('loaded only in a worker that has ended: the main thread is guarded', async () => {
  const stdout = 'read-only,truncated';
  expect(await tells('')).toEqual({ status: 0, signal: null, stdout, stderr: '' });
});

testWild('loaded only in a worker that has ended: a wild pointer is SIGSEGV', async () => {
  const stdout = 'read-only,truncated';
  const told = await tells(`require(${JSON.stringify(addon)})(0n, 4096n, 0n);`);
  expect(told).toEqual({ status: null, signal: 'SIGSEGV', stdout, stderr: '' });
});

const places = { 'at 0': '0n', 'that no processor takes': '1n << 63n' };
for (const [name, place] of Object.entries(places)) {
  testWild(`a wild pointer ${name}`, () =>
    dies('SIGSEGV', `const wild = loadWild(); await mendsAll(); now(); wild.write(${place});`),
  );
}

testWild('a wild pointer in a worker', () =>
  dies(
    'SIGSEGV',
    `
    await mendsAll();
    const worker = startWorker(\`
      const m = memmap.mapFileSync(process.execPath);
      // A listener does not hold it.
      globalThis.held = m;
      m.once('fault', () => {
        parentPort.postMessage(m.faults.length);
        parentPort.once('message', () => require(workerData)(0n, 4096n, 0n));
      });
      m.buffer[0] = 1;
    \`, ${JSON.stringify(addon)});
    assert.deepEqual(await once(worker, 'message'), [1]);
    now();
    worker.postMessage('go');
    await worker.ended;
  `,
  ),
);

test('--report-on-fatalerror writes its report of a full heap', async () => {
  const folder = join(scratch.folder, 'reports');
  mkdirSync(folder);
  const program = `
    ${tools}
    await mendsAll();
    fs.writeSync(1, 'now\\n');
    const kept = [];
    for (;;) kept.push(new Array(1000).fill(kept.length + 0.5).map(String));
  `;
  const execArgv = [
    '--report-on-fatalerror',
    `--report-directory=${folder}`,
    '--max-old-space-size=20',
  ];
  const { code, signal, stdout } = await runProgram(program, { execArgv });
  expect({ code, signal, stdout }).toEqual({ code: null, signal: 'SIGABRT', stdout: 'now\n' });
  const reports = readdirSync(folder);
  expect(reports).toHaveLength(1);
  const report = JSON.parse(readFileSync(join(folder, reports[0] ?? ''), 'utf8')) as {
    header: { event: string; trigger: string };
    sharedObjects: string[];
  };
  expect(report.header.event).toContain('heap out of memory');
  expect(report.sharedObjects.some((path) => path.endsWith('memmap.node'))).toBe(true);
});
