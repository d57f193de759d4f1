// guarded(fn): what fn read is known to be right, or it throws.
import { faultsSurvived, runFaulting } from '../helpers/faults';

const cut = `
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
const b = m.buffer;
truncate(path, 2 * PAGE);
`;

test('without a fault it gives what fn gives, of any kind', () =>
  faultsSurvived(`
    const m = memmap.mapFileSync(scratch(PAGE));
    const b = m.buffer;
    assert.equal(m.guarded(() => b[0]), 97);
    assert.equal(m.guarded(() => undefined), undefined);
    const object = {};
    assert.equal(m.guarded(() => object), object);
    assert.equal(await m.guarded(async () => b[1]), 97);
    const own = new Error('own');
    assert.throws(() => m.guarded(() => { throw own; }), (error) => error === own && !('cause' in own));
    await assert.rejects(m.guarded(async () => { throw own; }), (error) => error === own && !('cause' in own));
    assert.throws(() => m.guarded(() => { throw undefined; }), (error) => error === undefined);
    assert.deepEqual(m.faults, []);
    for (const bad of [undefined, null, 5, {}]) {
      assert.throws(() => m.guarded(bad), { name: 'TypeError', code: 'ERR_MEMMAP_ARGUMENT' });
    }
    m.unmap();
    assert.throws(() => m.guarded(() => assert.fail('called')), { code: 'ERR_MEMMAP_UNMAPPED' });
  `));

test('a fault in fn is thrown, and is no uncaught exception', () =>
  faultsSurvived(`
    ${cut}
    let seen;
    let thrown;
    assert.throws(() => m.guarded(() => { seen = b[5 * PAGE]; }), (error) => { thrown = error; return true; });
    assert.equal(seen, 0);
    const faults = assertLost(m, 5 * PAGE, 6 * PAGE);
    assertFaultError(thrown, faults[0], m);
    assert.equal('cause' in thrown, false);
    await turn();
    // The page is known to be bad: no second fault, and no second error, until it is repaired.
    assert.equal(m.guarded(() => b[5 * PAGE]), 0);
    truncate(path, 8 * PAGE);
    await m.repair();
    truncate(path, 0);
    assert.throws(() => m.guarded(() => b[5 * PAGE]), isFault(m));
    await turn();
  `));

test('a listener hears it as well', () =>
  faultsSurvived(`
    ${cut}
    const errors = listen(m);
    assert.throws(() => m.guarded(() => b.indexOf('b')), isFault(m));
    await assertTold(errors, assertLost(m, 2 * PAGE, 8 * PAGE), m);
  `));

test('a promise: the fault is what it rejects with, whenever fn meets it', () =>
  faultsSurvived(`
    ${cut}
    for (const page of [3, 5, 7]) {
      const reading = m.guarded(async () => {
        for (let turns = 0; turns < page; turns++) await turn();
        const value = b[page * PAGE];
        for (let turns = 0; turns < page; turns++) await turn();
        return value;
      });
      assert.ok(reading instanceof Promise);
      await assert.rejects(reading, (error) => isFault(m)(error) && error.offset === page * PAGE);
    }
    await turn();
    assert.equal(m.faults.length, 3);
    // Anything with a then is a promise.
    const thenable = { then: (resolve) => { resolve(b[4 * PAGE]); } };
    await assert.rejects(m.guarded(() => thenable), (error) => isFault(m)(error) && error.offset === 4 * PAGE);
    await turn();
  `));

test('work in the thread pool that it waits for', () =>
  faultsSurvived(`
    const zlib = require('node:zlib');
    const { promisify } = require('node:util');
    ${cut}
    await assert.rejects(m.guarded(() => promisify(zlib.deflate)(b)), isFault(m));
    assertLost(m, 2 * PAGE, 8 * PAGE, 'any');
    await turn();
  `));

test('the first of several faults is thrown, and all are recorded', () =>
  faultsSurvived(`
    ${cut}
    assert.throws(() => m.guarded(() => b[7 * PAGE] + b[2 * PAGE] + b[5 * PAGE]),
      (error) => isFault(m)(error) && error.offset === 7 * PAGE);
    assert.deepEqual(m.faults.map(({ offset }) => offset / PAGE), [7, 2, 5]);
    await turn();
  `));

test('fn that throws after a fault: the fault, with what it threw as its cause', () =>
  faultsSurvived(`
    ${cut}
    const own = new SyntaxError('of the zeros');
    const is = (error) => isFault(m)(error) && error.cause === own;
    assert.throws(() => m.guarded(() => { b[4 * PAGE]; throw own; }), is);
    await assert.rejects(m.guarded(async () => { await null; b[6 * PAGE]; throw own; }), is);
    await turn();
    assert.equal(m.faults.length, 2);
  `));

test('nested: both ends throw, and one that catches does not spare the other', () =>
  faultsSurvived(`
    ${cut}
    let inner;
    assert.throws(() => m.guarded(() => {
      assert.throws(() => m.guarded(() => b[4 * PAGE]), (error) => { inner = error; return isFault(m)(error); });
      return 'went on';
    }), (error) => isFault(m)(error) && error.offset === inner.offset);
    // Only the outer one has seen this.
    assert.throws(() => m.guarded(() => {
      b[5 * PAGE];
      assert.equal(m.guarded(() => b[0]), 97);
    }), (error) => isFault(m)(error) && error.offset === 5 * PAGE);
    await turn();
    assert.equal(m.faults.length, 2);
  `));

test('several at the same time: each that was open throws', () =>
  faultsSurvived(`
    ${cut}
    const open = [1, 2, 3].map((turns) => m.guarded(async () => {
      for (let i = 0; i < turns * 3; i++) await turn();
      return turns;
    }));
    await turn();
    b[6 * PAGE];
    const results = await Promise.allSettled(open);
    for (const { status, reason } of results) {
      assert.equal(status, 'rejected');
      assert.equal(reason.offset, 6 * PAGE);
      isFault(m)(reason);
    }
    assert.equal(await m.guarded(async () => 'later'), 'later');
  `));

test('a fault before it is not its own: an uncaught exception, and fn is not blamed', () =>
  faultsSurvived(`
    ${cut}
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    b[3 * PAGE];
    assert.equal(m.guarded(() => b[0]), 97);
    await turn();
    await turn();
    assert.equal(thrown.length, 1);
    assertFaultError(thrown[0], m.faults[0], m);
  `));

test('one fault before, one within: the first is uncaught, the second is thrown', () =>
  faultsSurvived(`
    ${cut}
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    b[3 * PAGE];
    assert.throws(() => m.guarded(() => b[6 * PAGE]), (error) => isFault(m)(error) && error.offset === 6 * PAGE);
    await turn();
    await turn();
    assert.deepEqual(thrown.map(({ offset }) => offset / PAGE), [3]);
  `));

test("a fault in another mapping is that one's", () =>
  faultsSurvived(`
    ${cut}
    const other = memmap.mapFileSync(scratch(PAGE));
    const errors = listen(m);
    assert.equal(other.guarded(() => b[5 * PAGE]), 0);
    await assertTold(errors, assertLost(m, 5 * PAGE, 6 * PAGE), m);
    assert.deepEqual(other.faults, []);
    assert.throws(() => m.guarded(() => other.guarded(() => b[6 * PAGE])), isFault(m));
  `));

test('a fault after it, with nobody to hear it, is an uncaught exception again', async () => {
  const result = await runFaulting(`
    ${cut}
    try { m.guarded(() => b[3 * PAGE]); } catch { console.log('caught'); }
    b[5 * PAGE];
  `);
  expect(result).toMatchObject({ code: 1, signal: null, stdout: 'caught\n' });
  expect(result.stderr).toContain('ERR_MEMMAP_FAULT');
});

test('a promise that is dropped is an unhandled rejection with the fault', async () => {
  const result = await runFaulting(`
    ${cut}
    void m.guarded(async () => { await null; return b[3 * PAGE]; });
  `);
  expect(result).toMatchObject({ code: 1, signal: null });
  expect(result.stderr).toContain('ERR_MEMMAP_FAULT');
});

test('a guarded call that never ends holds back no error for ever', async () => {
  const result = await runFaulting(`
    ${cut}
    void m.guarded(() => new Promise(() => {}));
    b[3 * PAGE];
  `);
  expect(result).toMatchObject({ code: 1, signal: null });
  expect(result.stderr).toContain('ERR_MEMMAP_FAULT');
});

test('fn that unmaps, replaces or repairs: the fault is thrown all the same', () =>
  faultsSurvived(`
    ${cut}
    assert.throws(() => m.guarded(() => { b[3 * PAGE]; m.replace({ anonymous: m.length }); }), isFault(m));
    assert.deepEqual(m.faults, []);
    const n = memmap.mapFileSync(path, { access: 'read-write' });
    const view = n.buffer;
    truncate(path, 0);
    await assert.rejects(n.guarded(async () => {
      view[PAGE];
      truncate(path, 2 * PAGE);
      await n.repair();
    }), isFault(n));
    truncate(path, 0);
    assert.throws(() => n.guarded(() => { view[0]; n.unmap(); }), isFault(n));
    await turn();
  `));

test('write() and read() of a lost page within it throw the fault themselves', () =>
  faultsSurvived(`
    ${cut}
    b[3 * PAGE] = 1;
    m.on('fault', () => {});
    await turn();
    assert.throws(() => m.guarded(() => m.read(3 * PAGE, 1)), (error) => isFault(m)(error) && error.offset === 3 * PAGE);
    assert.throws(() => m.guarded(() => m.write(3 * PAGE, 'x')), isFault(m));
    // Not yet met: the kernel's own answer.
    assert.throws(() => m.guarded(() => m.read(5 * PAGE, 1)), { code: 'EFAULT' });
    assert.equal(m.faults.length, 1);
  `));
