// What listeners of 'fault' may do, and what streams make of a view whose file is gone.
import { faultsSurvived, runFaulting } from '../helpers/faults';

const cut = `
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
// Listeners do not hold a mapping, and neither does a function that waits for nothing but them.
globalThis.held = m;
const b = m.buffer;
truncate(path, 2 * PAGE);
`;

test('a listener that unmaps, and one that comes after it', () =>
  faultsSurvived(`
    ${cut}
    const heard = [];
    m.on('fault', () => { heard.push(m.state); m.unmap(); });
    m.on('fault', () => heard.push(m.state));
    assert.equal(b[5 * PAGE], 0);
    assert.equal(b[2 * PAGE], 0);
    while (heard.length < 4) await turn();
    assert.deepEqual(heard, ['mapped', 'unmapped', 'unmapped', 'unmapped']);
    assert.equal(b.length, 0);
    assert.equal(showsFile(path), false);
  `));

test('a listener that makes the file long enough and repairs it', () =>
  faultsSurvived(`
    ${cut}
    const repaired = new Promise((resolve, reject) => {
      m.on('fault', ({ fileOffset, length }) => {
        truncate(path, Math.max(fs.statSync(path).size, Number(fileOffset) + length));
        m.repair().then(resolve, reject);
      });
    });
    b[6 * PAGE] = 6;
    await repaired;
    assert.deepEqual(m.faults, []);
    assert.equal(fs.readFileSync(path)[6 * PAGE], 6);
    assert.equal(fs.statSync(path).size, 7 * PAGE);
  `));

test('a listener that replaces the mapping by memory: the same Buffer goes on', () =>
  faultsSurvived(`
    ${cut}
    const replaced = once(m, 'replace');
    m.on('fault', () => m.replace({ anonymous: m.length }));
    b[6 * PAGE] = 6;
    await replaced;
    assert.equal(isAll(b, 0), true);
    assert.deepEqual(m.faults, []);
    b.fill(1);
    assert.equal(isAll(b, 1), true);
  `));

test('a listener that meets the next lost page itself is called again, once for each', () =>
  faultsSurvived(`
    ${cut}
    const heard = [];
    m.on('fault', ({ offset }) => {
      heard.push(offset / PAGE);
      if (offset + PAGE < m.length) assert.equal(b[offset + PAGE], 0);
    });
    assert.equal(b[2 * PAGE], 0);
    while (heard.length < 6) await turn();
    await turn();
    assert.deepEqual(heard, [2, 3, 4, 5, 6, 7]);
    assertLost(m, 2 * PAGE, 8 * PAGE);
  `));

test("once('fault') hears the first; the next is an uncaught exception", async () => {
  const result = await runFaulting(`
    ${cut}
    m.once('fault', ({ offset }) => console.log(offset / PAGE));
    b[5 * PAGE];
    b[2 * PAGE];
  `);
  expect(result).toMatchObject({ code: 1, signal: null, stdout: '5\n' });
  expect(result.stderr).toContain('ERR_MEMMAP_FAULT');
});

test('events.once and events.on take the error as their value', () =>
  faultsSurvived(`
    ${cut}
    const { on } = require('node:events');
    const first = once(m, 'fault');
    b[5 * PAGE];
    assertFaultError((await first)[0], m.faults[0], m);
    const all = on(m, 'fault');
    b[2 * PAGE];
    b[7 * PAGE];
    for (const page of [2, 7]) {
      const { value: [error] } = await all.next();
      assert.equal(error.offset, page * PAGE);
    }
    await all.return();
  `));

test('records are frozen, and the list is a copy', () =>
  faultsSurvived(`
    ${cut}
    m.on('fault', () => {});
    b[5 * PAGE];
    const { faults } = m;
    assert.equal(Object.isFrozen(faults[0]), true);
    faults.length = 0;
    assert.equal(m.faults.length, 1);
    assert.equal(m.faults[0], m.faults[0]);
    const fields = ['kind', 'offset', 'fileOffset', 'length', 'address', 'thread', 'time', 'count', 'signal'];
    assert.deepEqual(Object.keys(m.faults[0]).sort(), fields.sort());
    await turn();
  `));

// Something that writes what it is given with a system call, and how it tells of an error.
const sinks: Record<string, string> = {
  'a file stream': "fs.createWriteStream(scratch(''))",
  'a pipe to another process': "spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] }).stdin",
  'a socket': `await new Promise((resolve) => {
    const server = net.createServer((peer) => { peer.resume(); peer.on('error', () => {}); peer.on('close', () => server.close()); });
    server.listen(join(folder, 'socket'), () => {
      const socket = net.connect(join(folder, 'socket'), () => resolve(socket));
    });
  })`,
};

for (const [name, sink] of Object.entries(sinks)) {
  test(`lost pages written to ${name}: its error is EFAULT, and there is no fault`, () =>
    faultsSurvived(`
      const net = require('node:net');
      ${cut}
      m.on('fault', () => assert.fail('a fault'));
      const sink = ${sink};
      const failed = once(sink, 'error').catch((error) => [error]);
      sink.write(b.subarray(4 * PAGE));
      const [error] = await failed;
      assert.equal(error.code, 'EFAULT');
      assert.equal(error.syscall, 'write');
      assert.deepEqual(m.faults, []);
      sink.destroy();
      await turn();
    `));
}

test('cut and made longer at random by another process while this one writes and repairs', () =>
  faultsSurvived(`
    const length = 32 * PAGE;
    const path = scratch(length);
    const m = memmap.mapFileSync(path, { access: 'read-write' });
    let told = 0;
    m.on('fault', ({ kind }) => { assert.equal(kind, 'truncated'); told++; });
    const b = m.buffer;
    const cutter = spawn(process.execPath, ['-e', \`
      const fs = require('node:fs');
      const [, path, length] = process.argv;
      for (let i = 0; i < 20000; i++) fs.truncateSync(path, Math.floor(Math.random() * length));
      fs.truncateSync(path, Number(length));
    \`, path, String(length)]);
    let running = true;
    const ended = once(cutter, 'exit').then((result) => { running = false; return result; });
    let repaired = 0;
    for (let round = 0; running; round++) {
      for (let at = round % PAGE; at < length; at += PAGE) b[at] = round;
      await m.repair().then(() => repaired++, isFault(m));
      await m.flush().catch(isFault(m));
      await turn();
    }
    assert.deepEqual(await ended, [0, null]);
    assert.ok(told > 0);
    assert.equal(fs.statSync(path).size, length);
    await m.repair();
    assert.deepEqual(m.faults, []);
    // The file itself again, everywhere: what is written now arrives, and what another writes is seen.
    b.fill(200);
    await m.flush();
    assert.equal(isAll(fs.readFileSync(path), 200), true);
    for (let at = 0; at < length; at += 8 * PAGE) anotherWrites(path, at, 'seen');
    for (let at = 0; at < length; at += 8 * PAGE) assert.equal(b.toString('latin1', at, at + 4), 'seen');
    assert.deepEqual(memmap.registry.verify(), []);
  `));
