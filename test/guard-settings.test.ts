// The option guard, configure() and guardStatus(), and what a process with and without the guard does.

import {
  type Mapping,
  configure,
  guardStatus,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  sys,
} from '../lib/index.js';
import { expectClean, runChild } from './helpers/child.js';
import { Scratch, patterned } from './helpers/files.js';
import { memmapSays, refused, refusedLater } from './helpers/refusals.js';

const scratch = new Scratch();
const PAGES = 4;
const original = patterned(PAGES * pageSize);
const path = scratch.file(original);

let m: Mapping;
beforeEach(() => {
  m = mapFileSync(path, { access: 'read-write' });
  expect(m.buffer.equals(original)).toBe(true);
});
afterEach(() => m.unmap());
afterAll(() => scratch.remove());

describe('settings', () => {
  const wrong = [null, 0, 1, 'true', '', {}, [], Symbol('x'), 1n, () => true];
  afterEach(() => configure({ guard: true }));

  it.each<[string, (value: never) => unknown]>([
    ['mapFile', (guard) => mapFile(path, { guard })],
    ['mapFileSync', (guard) => mapFileSync(path, { guard })],
    ['mapAnonymous', (guard) => mapAnonymous(1, { guard })],
    ['configure', (guard) => configure({ guard })],
  ])('%s takes true or false and nothing else', async (_name, call) => {
    for (const value of wrong) {
      // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection here
      const error = await refusedLater((async () => call(value as never))());
      expect(error).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'options.guard' });
      expect(error.message).toMatch(/^options\.guard must be true or false; got /);
    }
    expect(guardStatus().enabled).toBe(true);
  });

  it('configure refuses what it does not know, and then changes nothing', () => {
    for (const value of [{ gaurd: false, guard: false }, { faults: true }]) {
      expect(refused(() => configure(value as never)).message).toMatch(
        /^options has no option '\w+'; it takes guard$/,
      );
    }
    for (const value of [null, 5, 'guard', true, () => 1]) {
      const error = refused(() => configure(value as never));
      expect(error).toMatchObject({ ...memmapSays('ARGUMENT'), argument: 'options' });
    }
    configure({});
    expect(guardStatus().enabled).toBe(true);
  });

  it('configure holds for mappings made from then on, and their own option is stronger', () => {
    configure({ guard: false });
    expect(guardStatus().enabled).toBe(false);
    const without = mapFileSync(path);
    const raw = sys.mmap(0, pageSize, 1, 0x22, -1, 0);
    const own = mapFileSync(path, { guard: true });
    for (const mapping of [without, raw, own]) expect(mapping.buffer.length).toBe(mapping.length);
    expect(new Set(guardStatus().mappings)).toEqual(new Set([m, own]));
    for (const mapping of [without, raw, own]) mapping.unmap();
  });

  it('guardStatus tells whether, for which signals, and who', () => {
    const status = guardStatus();
    expect(Object.keys(status).sort()).toEqual(['enabled', 'installed', 'mappings', 'signals']);
    expect(status).toMatchObject({
      enabled: true,
      installed: true,
      signals: { SIGBUS: true, SIGSEGV: true },
    });
    expect(status.mappings).toEqual([m]);

    const unseen = mapFileSync(path);
    const memory = mapAnonymous(pageSize);
    const off = mapFileSync(path, { guard: false });
    expect([memory.buffer.length, off.buffer.length]).toEqual([pageSize, PAGES * pageSize]);
    expect(guardStatus().mappings).toEqual([m]);
    memory.protect('read');
    expect(unseen.view(5, 1).length).toBe(1);
    expect(new Set(guardStatus().mappings)).toEqual(new Set([m, unseen, memory]));
    for (const mapping of [unseen, memory, off]) mapping.unmap();
    expect(guardStatus().mappings).toEqual([m]);
  });
});

describe('a process', () => {
  const program = (options: string, rest: string): string => `
    const fs = require('node:fs');
    const path = ${JSON.stringify(scratch.file(original))};
    const m = memmap.mapFileSync(path, ${options});
    const { buffer } = m;
    fs.truncateSync(path, 0);
    ${rest}`;

  it('has nothing installed before the first Buffer of a guarded mapping', async () => {
    const result = await runChild(`
      const none = memmap.guardStatus();
      const m = memmap.mapFileSync(process.execPath);
      m.read(0, 10);
      memmap.mapFileSync(process.execPath, { guard: false }).buffer[0];
      const still = memmap.guardStatus();
      m.buffer[0];
      console.log(JSON.stringify([none, still, memmap.guardStatus().installed]));`);
    expectClean(result);
    const signals = { SIGBUS: false, SIGSEGV: false };
    const nothing = { enabled: true, installed: false, signals, mappings: [] };
    expect(JSON.parse(result.stdout)).toEqual([nothing, nothing, true]);
  });

  it('without the guard ends by the signal', async () => {
    const result = await runChild(program('{ guard: false }', 'buffer[0]; console.log("lives");'));
    expect([result.code, result.signal, result.stdout]).toEqual([null, 'SIGBUS', '']);
  });

  it('without a listener ends by an uncaught exception, after the turn', async () => {
    const result = await runChild(program('{}', 'buffer[0]; console.log("lives");'));
    expect([result.code, result.signal, result.stdout]).toEqual([1, null, 'lives\n']);
    expect(result.stderr).toContain('ERR_MEMMAP_FAULT: the file is shorter than the mapping');
  });

  it('that asked with guarded() needs no listener', async () => {
    const source = `
      const codes = [];
      try { m.guarded(() => buffer[0]); } catch ({ code }) { codes.push(code); }
      await m.guarded(async () => buffer[memmap.pageSize]).catch(({ code }) => codes.push(code));
      await require('node:timers/promises').setImmediate();
      console.log(codes.join());`;
    const result = await runChild(program('{}', source));
    expectClean(result);
    expect(result.stdout).toBe('ERR_MEMMAP_FAULT,ERR_MEMMAP_FAULT\n');
  });

  it('that calls process.exit(0) at once fails all the same, and its listeners of exit are called', async () => {
    const source = `
      process.on('exit', () => console.log('cleaned up'));
      buffer[0];
      process.exit(0);`;
    const result = await runChild(program('{}', source));
    expect([result.code, result.signal, result.stdout]).toEqual([1, null, 'cleaned up\n']);
    expect(result.stderr).toContain('ERR_MEMMAP_FAULT');
  });
});
