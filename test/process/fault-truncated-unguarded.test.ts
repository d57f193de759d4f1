// What has no guard dies as every program does; what has one does not, beside it. And what cannot fault has none.
import { expectKilled, faultsSurvived, runFaulting } from '../helpers/faults';

const touched = `
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path, options);
m.on('fault', () => console.log('told'));
const b = m.buffer;
truncate(path, PAGE);
console.log('before');
console.log(b[4 * PAGE]);
`;

const unguarded: Record<string, string> = {
  '{ guard: false }': 'const options = { guard: false };',
  '{ guard: false }, writable': "const options = { guard: false, access: 'read-write' };",
  '{ guard: false }, copy-on-write': "const options = { guard: false, access: 'copy-on-write' };",
  'configure({ guard: false })': 'const options = {}; memmap.configure({ guard: false });',
  'configure({ guard: false }) after another was guarded': `
    const options = {};
    memmap.mapFileSync(scratch(PAGE)).buffer;
    memmap.configure({ guard: false });
  `,
  '{ guard: false } beside a guarded mapping of the same kind': `
    const options = { guard: false };
    const other = memmap.mapFileSync(scratch(PAGE));
    other.buffer;
    assert.deepEqual(memmap.guardStatus().mappings, [other]);
  `,
};

for (const [name, how] of Object.entries(unguarded)) {
  test(`${name}: SIGBUS ends the process`, async () => {
    const result = await runFaulting(`${how}\n${touched}`);
    expectKilled(result, 'SIGBUS');
    expect(result.stdout).toBe('before\n');
  });
}

test('{ guard: false } in a worker ends the process too', async () => {
  const result = await runFaulting(`
    const path = scratch(8 * PAGE);
    const worker = startWorker(\`
      const m = memmap.mapFileSync(workerData, { guard: false });
      const b = m.buffer;
      require('node:child_process').execFileSync('truncate', ['-s', '0', workerData]);
      b[0];
    \`, path);
    await worker.ended;
  `);
  expectKilled(result, 'SIGBUS');
});

test('{ guard: true } in spite of configure({ guard: false }), and the other way round', () =>
  faultsSurvived(`
    memmap.configure({ guard: false });
    assert.equal(memmap.guardStatus().enabled, false);
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { guard: true });
    const errors = listen(m);
    const b = m.buffer;
    assert.deepEqual(memmap.guardStatus().mappings, [m]);
    truncate(path, PAGE);
    assert.equal(b[4 * PAGE], 0);
    await assertTold(errors, assertLost(m, 4 * PAGE, 5 * PAGE), m);
    memmap.configure({ guard: true });
    const other = scratch(8 * PAGE);
    const n = memmap.mapFileSync(other);
    listen(n);
    n.buffer;
    truncate(other, PAGE);
    assert.equal(n.buffer[4 * PAGE], 0);
    assertLost(n, 4 * PAGE, 5 * PAGE);
  `));

test('configure is of its thread: a worker guards as it says itself', () =>
  faultsSurvived(`
    memmap.configure({ guard: false });
    const path = scratch(8 * PAGE);
    const worker = startWorker(\`
      const m = memmap.mapFileSync(workerData);
      // A listener does not hold it.
      globalThis.held = m;
      m.on('fault', ({ kind }) => parentPort.postMessage(kind));
      const b = m.buffer;
      require('node:child_process').execFileSync('truncate', ['-s', '0', workerData]);
      b[0];
    \`, path);
    const said = new Promise((resolve) => worker.on('message', resolve));
    assert.equal(await said, 'truncated');
    assert.deepEqual(await worker.ended, [0]);
    assert.equal(memmap.guardStatus().enabled, false);
  `));

test('{ guard: false }: read() and write() still give EFAULT, and no handler is installed', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path, { guard: false, access: 'read-write' });
    const b = m.buffer;
    truncate(path, PAGE);
    assert.throws(() => m.read(4 * PAGE, 1), { code: 'EFAULT', syscall: 'process_vm_readv' });
    assert.throws(() => m.write(4 * PAGE, 'x'), { code: 'EFAULT', syscall: 'process_vm_writev' });
    assert.equal(b[0], 97);
    const { installed, signals, mappings } = memmap.guardStatus();
    assert.deepEqual({ installed, signals, mappings },
      { installed: false, signals: { SIGBUS: false, SIGSEGV: false }, mappings: [] });
    // By the kernel's own books: SIGBUS is bit 6 of what is caught.
    const caught = () => BigInt('0x' + /SigCgt:\\s*(\\w+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1]);
    assert.equal(caught() >> 6n & 1n, 0n);
    assert.deepEqual(m.faults, []);
    await m.repair();
    assert.equal(m.guarded(() => b[0]), 97);
    memmap.mapFileSync(path).buffer;
    assert.equal(caught() >> 6n & 1n, 1n);
    assert.equal(memmap.guardStatus().installed, true);
    // It is still not guarded itself.
    assert.equal(memmap.guardStatus().mappings.includes(m), false);
  `));

test('a mapping without a view has no guard, and needs none', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    truncate(path, PAGE);
    assert.throws(() => m.read(4 * PAGE, 1), { code: 'EFAULT' });
    assert.deepEqual(memmap.guardStatus().mappings, []);
    assert.equal(memmap.guardStatus().installed, false);
    await assert.rejects(m.prefetch(), { code: 'EFAULT', syscall: 'madvise' });
    assert.deepEqual(m.faults, []);
  `));

test('a page that cannot fault needs no guard: a private snapshot, and memory without a file', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const copy = memmap.mapFileSync(path, { access: 'snapshot' });
    const anonymous = memmap.mapAnonymous(8 * PAGE);
    const [b, c] = [copy.buffer, anonymous.buffer];
    truncate(path, 0);
    assert.equal(isAll(b, 97), true);
    c.fill(1);
    assert.equal(isAll(c, 1), true);
    assert.deepEqual([copy.faults, anonymous.faults], [[], []]);
    copy.flushSync();
  `));

test('populate and lock of what lies beyond the end are errors of the call, not faults', () =>
  faultsSurvived(`
    const path = scratch(8 * PAGE);
    const m = memmap.mapFileSync(path);
    m.on('fault', () => assert.fail('a fault'));
    m.buffer;
    truncate(path, PAGE);
    await assert.rejects(m.prefetch({ offset: 4 * PAGE, length: PAGE }), { code: 'EFAULT', syscall: 'madvise' });
    assert.throws(() => m.lock({ offset: 4 * PAGE, length: PAGE }), { code: 'ENOMEM', syscall: 'mlock' });
    assert.deepEqual(m.faults, []);
    await turn();
  `));
