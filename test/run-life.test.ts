// What `memmap run` reads when the program has ended: only what is in use, and as few objects as will do.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { readLife } from '../lib/cli/run-life';
import { fewLooks } from '../lib/cli/run-outputs';
import { Samples } from '../lib/cli/run-samples';
import { tableHead, tableSize } from '../lib/looking/trace-table';
import { Scratch } from './helpers/files';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const EVENTS = 10_000_000;
const LINE = '7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n';

it('reads no more of a table than is in use', () => {
  const path = scratch.path('table');
  const fd = openSync(path, 'wx+');
  const head = Buffer.alloc(192);
  head.set(
    tableHead({
      ...{ events: EVENTS, pageSize: 16384, protect: 'off', policy: 'kernel' },
      ...{ base: 0n, arena: 0, children: false },
    }),
  );
  head.writeUInt32LE(4711, 64);
  head.writeBigUInt64LE(20n, 128);
  head.writeBigUInt64LE(8192n, 176);
  writeSync(fd, head, 0, head.length, 0);
  ftruncateSync(fd, tableSize(EVENTS));
  const samples = [1n, 2n].map((at) => ({ at, text: Buffer.from(LINE.repeat(Number(at))) }));
  const before = process.memoryUsage().arrayBuffers;
  const life = readLife(fd, path, { command: ['x'], samples, program: undefined });
  const grown = process.memoryUsage().arrayBuffers - before;
  closeSync(fd);
  expect(grown).toBeLessThan(2 ** 20);
  expect(life).toMatchObject({ table: { begun: 20, capacity: EVENTS }, head: { lost: 20 } });
  expect([life?.looks.length, life?.last.length]).toEqual([2, 2]);
});

describe('looks at a process', () => {
  const add = (samples: Samples, count: number, size: number): boolean[] =>
    Array.from({ length: count }, (_, at) =>
      samples.add({ at: BigInt(at), text: Buffer.alloc(size) }),
    );

  it('are some dozens, from all of its life', () => {
    const samples = new Samples();
    const thinned = add(samples, 1000, 10);
    expect(thinned.indexOf(true)).toBe(47);
    expect(samples.kept.length).toBeGreaterThan(20);
    expect(samples.kept.length).toBeLessThan(48);
    expect(samples.kept.at(-1)?.at).toBe(999n);
  });

  it('are fewer where each is long', () => {
    const samples = new Samples();
    const size = 5 * 2 ** 20;
    expect(add(samples, 20, size)).toContain(true);
    expect(samples.kept.length * size).toBeLessThanOrEqual(32 * 2 ** 20);
    expect(samples.kept.at(-1)?.at).toBe(19n);
    add(samples, 3, 2 ** 26);
    expect(samples.kept).toHaveLength(1);
  });

  it('are fewer on a page, the first and the last among them', () => {
    const text = Buffer.from(LINE.repeat(60_000));
    const looks = Array.from({ length: 11 }, (_, time) => ({ time, text }));
    expect(fewLooks(looks).map(({ time }) => time)).toEqual([0, 8, 10]);
    expect(fewLooks(looks.slice(0, 2))).toHaveLength(2);
    expect(fewLooks([])).toEqual([]);
  });
});
