// A fault that nobody listens for is an uncaught exception, and is told however the program ends.
import { faultsSurvived, runFaulting } from '../helpers/faults';
import { type ChildResult } from '../helpers/child';

const cut = `
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path);
const b = m.buffer;
truncate(path, 2 * PAGE);
const sum = () => b.reduce((total, byte) => total + byte, 0);
`;

/** As an error that is thrown and not caught: exit code 1, and what it says. */
function expectThrown({ code, signal, stderr }: ChildResult): void {
  expect({ code, signal }).toEqual({ code: 1, signal: null });
  expect(stderr).toMatch(
    /ERR_MEMMAP_FAULT: the file is shorter than the mapping: \d+ bytes at \d+, '.*scratch-0'/,
  );
  expect(stderr).toContain("code: 'ERR_MEMMAP_FAULT'");
  expect(stderr).toContain("kind: 'truncated'");
}

const endings: Record<string, string> = {
  'the script has nothing left to do': 'console.log(sum());',
  'it waits for something': 'console.log(sum()); await new Promise((r) => setTimeout(r, 2 ** 30));',
  'it calls process.exit() at once': 'console.log(sum()); process.exit();',
  'it calls process.exit(0) in the next turn':
    'console.log(sum()); setImmediate(() => process.exit(0));',
  'it sets process.exitCode': 'process.exitCode = 0; console.log(sum());',
  'it reads in a beforeExit listener': "process.once('beforeExit', () => console.log(sum()));",
  'it unmaps at once': 'console.log(sum()); m.unmap();',
  'it drops the mapping': 'console.log(sum()); globalThis.gc?.();',
  'it reads in a microtask': 'await null; queueMicrotask(() => console.log(sum()));',
  'it reads in a loop of setImmediate': `
    console.log(sum());
    const again = () => setImmediate(again);
    again();
  `,
  'its listener was removed': `
    const listener = () => {};
    m.on('fault', listener);
    console.log(sum());
    m.off('fault', listener);
  `,
};

for (const [how, end] of Object.entries(endings)) {
  test(`nobody listens, and ${how}: the error is printed, exit code 1`, async () => {
    const result = await runFaulting(`${cut}\n${end}`);
    // The wrong bytes were read, and the program was not ended in the middle of that.
    expect(result.stdout.trim()).toBe(await pageSum());
    expectThrown(result);
  });
}

/** Two pages of 'a' and zeros, in the child's page size. */
async function pageSum(): Promise<string> {
  const { stdout } = await runFaulting('console.log(2 * PAGE * 97);');
  return stdout.trim();
}

test('read in an exit listener that was there before: the error is printed, exit code 1', async () => {
  const result = await runFaulting(`
    process.on('exit', () => console.log(sum()));
    ${cut}
  `);
  expect(result.stdout.trim()).toBe(await pageSum());
  expectThrown(result);
});

test('a listener of one mapping does not hear the fault of another', async () => {
  const result = await runFaulting(`
    ${cut}
    const other = memmap.mapFileSync(scratch(PAGE));
    other.on('fault', () => console.log('not mine'));
    other.buffer[0];
    sum();
  `);
  expect(result.stdout).toBe('');
  expectThrown(result);
});

test('what a listener throws is an uncaught exception of its own', async () => {
  const result = await runFaulting(`
    ${cut}
    m.on('fault', () => { throw new Error('of the listener'); });
    sum();
  `);
  expect(result).toMatchObject({ code: 1, signal: null });
  expect(result.stderr).toContain('of the listener');
  expect(result.stderr).not.toContain('ERR_MEMMAP_FAULT');
});

test('a worker in which nobody listens ends with the error', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const worker = startWorker(\`
      const m = memmap.mapFileSync(workerData);
      const b = m.buffer;
      require('node:child_process').execFileSync('truncate', ['-s', '0', workerData]);
      b[0];
      setInterval(() => {}, 2 ** 30);
    \`, path);
    // It rejects with the error of the worker.
    worker.ended.catch(() => undefined);
    const ended = new Promise((resolve) => worker.on('exit', resolve));
    const error = await new Promise((resolve) => worker.on('error', resolve));
    assert.equal(error.code, 'ERR_MEMMAP_FAULT');
    assert.equal(error.kind, 'truncated');
    assert.equal(error.offset, 0);
    assert.equal(await ended, 1);
  `));

test("process.on('uncaughtException') hears it, and the program goes on", () =>
  faultsSurvived(`
    ${cut}
    const thrown = [];
    process.on('uncaughtException', (error, origin) => thrown.push([error, origin]));
    assert.equal(sum(), 2 * PAGE * 97);
    await turn();
    await turn();
    const faults = assertLost(m, 2 * PAGE, 8 * PAGE);
    await turn();
    assert.equal(thrown.length, faults.length);
    thrown.forEach(([error, origin], i) => {
      assert.equal(origin, 'uncaughtException');
      assertFaultError(error, faults[i], m);
    });
    // Once is enough: it is known now.
    assert.equal(sum(), 2 * PAGE * 97);
    await turn();
    assert.equal(thrown.length, faults.length);
    m.unmap();
  `));

test('several faults of several mappings: every one is thrown', () =>
  faultsSurvived(`
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    const mappings = Array.from({ length: 5 }, () => {
      const path = scratch(8 * PAGE);
      const m = memmap.mapFileSync(path);
      m.buffer;
      truncate(path, 0);
      return m;
    });
    for (const m of mappings) for (const page of [5, 3, 1]) assert.equal(m.buffer[page * PAGE], 0);
    // Any of them collects those of all.
    assert.equal(mappings[0].faults.length, 3);
    await turn();
    assert.equal(thrown.length, 15);
    for (const m of mappings) {
      const own = thrown.filter(({ mapping }) => mapping === m);
      assert.deepEqual(own.map(({ offset }) => offset / PAGE), [5, 3, 1]);
      own.forEach((error, i) => assertFaultError(error, m.faults[i], m));
    }
  `));

test('a listener that comes late, in the same turn, still hears it', () =>
  faultsSurvived(`
    ${cut}
    assert.equal(sum(), 2 * PAGE * 97);
    const errors = listen(m);
    await assertTold(errors, assertLost(m, 2 * PAGE, 8 * PAGE), m);
  `));

test('the event comes by itself: no call of memmap is needed, and no end of the loop', () =>
  faultsSurvived(`
    ${cut}
    // It holds the mapping, too: a listener does not.
    const awake = setInterval(() => m, 2 ** 30);
    const heard = once(m, 'fault');
    assert.equal(b[2 * PAGE], 0);
    const [error] = await heard;
    assertFaultError(error, m.faults[0], m);
    assert.equal(m.faults.length, 1);
    // And again, after the bell has rung once.
    const next = once(m, 'fault');
    assert.equal(b[7 * PAGE], 0);
    const [second] = await next;
    assertFaultError(second, m.faults[1], m);
    clearInterval(awake);
  `));

test('a guarded mapping keeps no program running', () =>
  faultsSurvived(`
    ${cut}
    m.on('fault', () => {});
    sum();
  `));
