// Others handle SIGBUS and SIGSEGV too: installed before the guard, after it, or as listeners of process.
import { Scratch } from '../helpers/files';
import { buildWild, wildTools } from '../helpers/wild';
import { runProgram, survives, testWhere } from './program';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const { addon, missing } = buildWild(scratch.folder);
const testWild = testWhere(missing === undefined, missing ?? '');

/** In scope of a child. */
const tools = `
// Waiting for a signal keeps no loop alive.
const alive = setInterval(() => {}, 1e6);
const both = { SIGBUS: true, SIGSEGV: true };
const signalsNow = () => memmap.guardStatus().signals;
async function mends() {
  const path = scratch(2 * PAGE);
  const m = memmap.mapFileSync(path);
  m.buffer[0];
  await mendsIn(m);
}
async function mendsIn(m) {
  const told = [];
  m.on('fault', ({ kind }) => told.push(kind));
  m.buffer[0] = 1;
  fs.truncateSync(m.path, PAGE);
  assert.equal(m.buffer[PAGE], 0);
  assert.deepEqual(m.faults.map(({ kind }) => kind), ['read-only', 'truncated']);
  await turn();
  assert.deepEqual(told, ['read-only', 'truncated']);
  assert.equal(m.buffer[0], 97);
}
// Foreign faults: a page that is gone, and one that is read-only.
const unguarded = {
  SIGBUS: () => {
    const path = scratch(PAGE);
    const m = memmap.mapFileSync(path, { guard: false });
    m.buffer[0];
    fs.truncateSync(path, 0);
    return m;
  },
  SIGSEGV: () => memmap.mapFileSync(scratch(PAGE), { access: 'read-write', guard: false }),
};
const code = Buffer.from('0061736d0100000001060160017f017f03020100050301000107080104' + '6c6f616400000a0901070020002802000b', 'hex');
const traps = () => {
  const { load } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
  assert.throws(() => load(-1), WebAssembly.RuntimeError);
};
${wildTools(addon)}
`;

const SIGNALS = ['SIGBUS', 'SIGSEGV'] as const;
const other = { SIGBUS: 'SIGSEGV', SIGSEGV: 'SIGBUS' } as const;

const child = (source: string) => survives(`${tools}\n${source}\nclearInterval(alive);`);

const ends = async (source: string) => {
  const result = await runProgram(`${tools}\n${source}\nfs.writeSync(1, 'alive\\n');`);
  return { ...result, stderr: '' };
};
const diedOf = (signal: NodeJS.Signals) => ({ code: null, signal, stdout: 'now\n', stderr: '' });

describe.each(SIGNALS)('a handler of %s that was there before', (signal) => {
  // A page that was read-only, and nobody guards it.
  const foreign = `
    const m = memmap.mapAnonymous(4 * PAGE, { guard: false });
    m.protect('read');
    const at = (page) => m.address + BigInt(page * PAGE);
  `;

  describe.each(['info', 'plain'])('%s', (form) => {
    const installed = `
      const wild = loadWild();
      wild.handle('${signal}', '${form}', 'WAY');
      await mends();
      assert.equal(wild.calls(), 0);
      assert.deepEqual(signalsNow(), both);
    `;

    testWild('is called for faults that are not ours, and may leave', async () => {
      const result = await ends(`
        ${installed.replace('WAY', 'leave')}
        const { buffer } = unguarded.${signal}();
        ${signal === 'SIGBUS' ? 'buffer[0];' : 'wild.read(NOWHERE);'}
      `);
      expect(result).toEqual({
        code: 77,
        signal: null,
        stdout: 'the other handler was called\n',
        stderr: '',
      });
    });

    testWild('is called for a signal that was sent', async () => {
      const result = await ends(`
        ${installed.replace('WAY', 'leave')}
        process.kill(process.pid, '${signal}');
      `);
      expect(result).toMatchObject({ code: 77, stdout: 'the other handler was called\n' });
    });

    testWild('may jump out of it, again and again', () =>
      child(`
        ${installed.replace('WAY', 'jump')}
        ${signal === 'SIGBUS' ? 'const gone = unguarded.SIGBUS().address;' : 'const gone = NOWHERE;'}
        for (let round = 1; round <= 200; round++) {
          assert.equal(wild.read(gone), round);
          assert.equal(wild.calls(), round);
        }
        ${form === 'info' ? 'assert.equal(wild.wasAt(gone), true);' : ''}
        await mends();
        assert.equal(wild.calls(), 200);
        assert.deepEqual(signalsNow(), both);
      `),
    );

    if (signal === 'SIGSEGV') {
      testWild('may mend what faulted', () =>
        child(`
          ${installed.replace('WAY', 'mend')}
          ${foreign}
          for (let page = 0; page < 4; page++) {
            assert.equal(wild.write(at(page)), 1);
            assert.equal(wild.calls(), page + 1);
            assert.equal(wild.lastSignal(), signals.SIGSEGV);
            ${form === 'info' ? 'assert.equal(wild.wasAt(at(page)), true);' : ''}
            await mends();
            assert.equal(wild.calls(), page + 1);
          }
        `),
      );
    }
  });

  testWild('and ignores it: a sent signal is ignored, a fault is not', async () => {
    const result = await ends(`
      const wild = loadWild();
      wild.ignore('${signal}');
      await mends();
      process.kill(process.pid, '${signal}');
      await turn();
      await mends();
      ${signal === 'SIGBUS' ? 'const gone = unguarded.SIGBUS().address;' : 'const gone = NOWHERE;'}
      fs.writeSync(1, 'now\\n');
      wild.read(gone);
    `);
    expect(result).toEqual(diedOf(signal));
  });
});

describe.each(SIGNALS)('a handler of %s that came later and calls whoever was there', (signal) => {
  const installed = `
    const wild = loadWild();
    const first = memmap.mapFileSync(scratch(2 * PAGE));
    first.buffer[0];
    wild.handle('${signal}', 'info', 'chain');
    assert.deepEqual(signalsNow(), { ${signal}: false, ${other[signal]}: true });
    assert.equal(memmap.guardStatus().installed, false);
    assert.deepEqual(memmap.guardStatus().mappings, [first]);
  `;

  testWild('sees our faults, which are mended', () =>
    child(`
      ${installed}
      await mendsIn(first);
      assert.equal(wild.calls(), 1);
      assert.equal(wild.lastSignal(), signals.${signal});
    `),
  );

  testWild('is passed what is not ours once a new mapping has put ours on top', () =>
    child(`
      ${installed}
      await mends();
      assert.deepEqual(signalsNow(), both);
      assert.equal(wild.calls(), 0);
      traps();
      await mends();
      await mendsIn(first);
      traps();
    `),
  );

  testWild('and whoever is behind all of us has the last word', async () => {
    const result = await ends(`
      ${installed}
      await mends();
      ${signal === 'SIGBUS' ? 'const gone = unguarded.SIGBUS().address;' : 'const gone = NOWHERE;'}
      fs.writeSync(1, 'now\\n');
      wild.read(gone);
    `);
    expect(result).toEqual(diedOf(signal));
  });
});

describe.each(SIGNALS)("process.on('%s')", (signal) => {
  // One after the other: each step is a state in which the guard works.
  const listens = (ways: { on: string; off: string }) => `
    let heard = 0;
    const listener = () => { heard++; };
    const hears = async () => {
      const before = heard;
      const next = once(process, '${signal}');
      process.kill(process.pid, '${signal}');
      await next;
      return heard - before;
    };
    ${ways.on}
    assert.deepEqual(signalsNow(), both);
    await mendsIn(first);
    assert.equal(await hears(), 1);
    await mends();
    assert.equal(heard, 1);
    ${ways.off}
    assert.deepEqual(signalsNow(), both);
    assert.equal(process.listenerCount('${signal}'), 0);
    await mends();
    assert.equal(heard, 1);
  `;
  const guarded = 'const first = memmap.mapFileSync(scratch(2 * PAGE)); first.buffer[0];';
  const on = `process.on('${signal}', listener);`;
  const removals = {
    off: `process.off('${signal}', listener);`,
    removeAllListeners: `process.removeAllListeners('${signal}');`,
  };

  test.each(Object.entries(removals))('set and removed by %s', (_, off) =>
    child(
      `${guarded} ${listens({ on, off })} { ${listens({ on, off }).replace('mendsIn(first)', 'mends()')} }`,
    ),
  );

  test('set before the guard', () =>
    child(`
      process.on('${signal}', () => {});
      assert.deepEqual(memmap.guardStatus(), { enabled: true, installed: false, signals: { SIGBUS: false, SIGSEGV: false }, mappings: [] });
      ${guarded}
      ${listens({ on, off: removals.removeAllListeners })}
    `));

  test('once', () =>
    child(`
      ${guarded}
      const next = once(process, '${signal}');
      assert.deepEqual(signalsNow(), both);
      process.kill(process.pid, '${signal}');
      await next;
      assert.deepEqual(signalsNow(), both);
      await mendsIn(first);
      await mends();
    `));

  test('is called of a signal, with faults all around it', () =>
    child(`
      ${guarded}
      const many = Array.from({ length: 20 }, () => memmap.mapFileSync(scratch(2 * PAGE)));
      for (const { buffer } of many) buffer[0];
      let heard = 0;
      process.on('${signal}', () => { heard++; });
      for (const m of many) {
        const next = once(process, '${signal}');
        process.kill(process.pid, '${signal}');
        await Promise.all([next, mendsIn(m)]);
      }
      assert.equal(heard, many.length);
    `));

  test('once it is removed the signal ends the process', async () => {
    const result = await ends(`
      ${guarded}
      const listener = () => {};
      process.on('${signal}', listener);
      await mendsIn(first);
      process.off('${signal}', listener);
      await mends();
      fs.writeSync(1, 'now\\n');
      process.kill(process.pid, '${signal}');
      await new Promise((done) => setTimeout(done, 1e9));
    `);
    expect(result).toEqual(diedOf(signal));
  });
});

test('guardStatus: who relies on it', () =>
  child(`
    const status = memmap.guardStatus;
    const never = { enabled: true, installed: false, signals: { SIGBUS: false, SIGSEGV: false }, mappings: [] };
    assert.deepEqual(status(), never);
    const m = memmap.mapFileSync(scratch(PAGE));
    m.read(0, 1);
    assert.deepEqual(status(), never);
    m.buffer;
    assert.deepEqual(status(), { enabled: true, installed: true, signals: both, mappings: [m] });
    memmap.configure({ guard: false });
    const without = memmap.mapFileSync(scratch(PAGE));
    without.buffer;
    assert.deepEqual(status(), { enabled: false, installed: true, signals: both, mappings: [m] });
    const asked = memmap.mapFileSync(scratch(PAGE), { guard: true });
    asked.buffer;
    assert.deepEqual(status().mappings, [m, asked].sort((one, two) => Number(one.address - two.address)));
    m.unmap();
    assert.deepEqual(status().mappings, [asked]);
    asked.unmap();
    assert.deepEqual(status(), { enabled: false, installed: true, signals: both, mappings: [] });
  `));

test('where the guard is off from the start no handler is installed', () =>
  child(`
    memmap.configure({ guard: false });
    memmap.mapFileSync(scratch(PAGE)).buffer[0];
    memmap.mapFileSync(scratch(PAGE), { access: 'read-write' }).buffer[0] = 1;
    const now = memmap.guardStatus();
    assert.deepEqual([now.installed, now.signals], [false, { SIGBUS: false, SIGSEGV: false }]);
    const caught = /^SigCgt:\\t(\\w+)$/m.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1];
    // Bit 6, counted from 0: SIGBUS is 7.
    assert.equal((BigInt('0x' + caught) >> 6n) & 1n, 0n);
    traps();
  `));
