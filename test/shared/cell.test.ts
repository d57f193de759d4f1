import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Mapping, mapAnonymous, mapFileSync } from '../../lib/index';
import { Cell } from '../../lib/shared/cell';
import { sleepLater } from '../../lib/shared/futex';

const folder = mkdtempSync(join(tmpdir(), 'memmap-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const memory = (): Mapping => mapAnonymous(2 ** 20, { shared: true });

describe('a cell', () => {
  it('is taken by one, and left by it', () => {
    const mapping = memory();
    const [one, same] = [new Cell(mapping, 64), new Cell(mapping, 64)];
    expect([one.state(), one.generation, one.heldHere]).toEqual(['free', 0, false]);
    expect(one.take()).toBe('taken');
    expect([one.state(), one.generation, one.heldHere]).toEqual(['held', 1, true]);
    expect([same.take(), same.attempt(), same.heldHere]).toEqual(['held', 'own', false]);
    expect(() => same.leave()).toThrow(expect.objectContaining({ code: 'ERR_MEMMAP_ARGUMENT' }));
    expect(() => mapping.unmap()).toThrow(expect.objectContaining({ code: 'ERR_MEMMAP_BUSY' }));
    one.leave();
    expect([one.state(), one.heldHere]).toEqual(['free', false]);
    expect(same.take()).toBe('taken');
    same.leave({ died: true });
    expect(one.state()).toBe('died');
    expect(one.take()).toBe('inherited');
    one.leave();
    expect(one.take()).toBe('taken');
    one.leave();
    expect(one.generation).toBe(4);
    mapping.unmap();
  });

  it('leaves nothing but the generation and the kind behind', () => {
    const mapping = memory();
    const cell = new Cell(mapping, 0);
    cell.take();
    cell.expectWaiters();
    cell.leave();
    expect([...cell.words]).toEqual([0, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
  });

  it('that somebody wrote over is an error, and not held any more', () => {
    const mapping = memory();
    const cell = new Cell(mapping, 0);
    cell.take();
    cell.words.fill(0x12345678);
    expect(() => cell.leave()).toThrow(expect.objectContaining({ code: 'ERR_MEMMAP_CORRUPT' }));
    expect(cell.heldHere).toBe(false);
    mapping.unmap();
  });

  it.each([
    ['an odd place', () => new Cell(memory(), 4), 'ARGUMENT'],
    ['private memory', () => new Cell(mapAnonymous(64), 0), 'UNSUPPORTED'],
    ['the end', () => new Cell(memory(), 2 ** 20 - 32), 'RANGE'],
    ['read-only memory', () => new Cell(mapFileSync(__filename), 0), 'READ_ONLY'],
  ])('in %s is refused', (_, call, kind) => {
    expect(call).toThrow(expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }));
  });
});

const deaths: Record<string, string> = {
  'is killed': "process.kill(process.pid, 'SIGKILL')",
  exits: 'process.exit(3)',
  aborts: 'process.abort()',
  'throws an error': "throw new Error('on purpose')",
  'comes to its end': 'undefined',
};

describe.each(Object.entries(deaths))('a holder that %s', (_, die) => {
  it.each([1, 100])('leaves its cells (%d of them), and wakes who waits', async (count) => {
    const path = join(folder, `died-${String(Math.random())}`);
    const mapping = mapFileSync(path, { access: 'read-write', create: true, size: 64 * count });
    const program = `
      const { mapFileSync } = require(${JSON.stringify(join(__dirname, '../../dist/index.js'))});
      const { Cell } = require(${JSON.stringify(join(__dirname, '../../dist/shared/cell.js'))});
      const mapping = mapFileSync(${JSON.stringify(path)}, { access: 'read-write' });
      const cells = Array.from({ length: ${String(count)} }, (_, i) => new Cell(mapping, 64 * i));
      for (const cell of cells) if (cell.take() !== 'taken') throw new Error('not free');
      process.stdin.once('data', () => { process.stdin.destroy(); ${die}; });
      console.log('held');
    `;
    const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const cells = Array.from({ length: count }, (_each, i) => new Cell(mapping, 64 * i));
    expect(cells.map((cell) => cell.take())).toEqual(cells.map(() => 'held'));
    // Sleeps without a limit of time, until they are not held: some may end early, for no reason.
    const waits = cells.map(async (cell) => {
      while (cell.state() === 'held') await sleepLater(cell.spot, cell.expectWaiters());
    });
    child.stdin.write('now');
    await Promise.all(waits);
    expect(cells.map((cell) => cell.take())).toEqual(cells.map(() => 'inherited'));
    for (const cell of cells) cell.leave();
    mapping.unmap();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
});
