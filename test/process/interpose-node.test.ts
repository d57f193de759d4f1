// What the helper sees of Node: V8, libuv, memmap's own addon, workers.

import { join } from 'node:path';
import type { Trace } from '../../lib/index.js';
import { Scratch } from '../helpers/files';
import { runChild } from '../helpers/child';
import { by, expectGood, runUnder, script, traceUnder, unsupported } from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());
const test = itUnless(unsupported);

const GiB = 2 ** 30;
const NODE = /\/(node|libnode[^/]*)$/;
const ADDON = /\/memmap[^/]*\.node$/;

test('sees V8: a WebAssembly memory, a worker, what is mapped before main', async () => {
  const result = await traceUnder(
    scratch,
    script(`
      const memory = new WebAssembly.Memory({ initial: 3, maximum: 100 });
      memory.grow(2);
      const { Worker } = require('node:worker_threads');
      const worker = new Worker('new WebAssembly.Memory({ initial: 1 })', { eval: true });
      await new Promise((resolve) => worker.on('exit', resolve));
      console.log(memory.buffer.byteLength);
    `),
  );
  expectGood(result);
  expect(result.stdout).toBe(`${String(5 * 65536)}\n`);
  const { events } = result.trace;
  const calls = by(events, NODE);
  expect(new Set(calls.map(({ call }) => call))).toEqual(
    new Set(['mmap', 'munmap', 'mprotect', 'madvise']),
  );
  // Both memories, with the guards that catch an index beyond them.
  const large = calls.filter(({ call, length }) => call === 'mmap' && length >= 8 * GiB);
  expect(large.length).toBeGreaterThanOrEqual(2);
  expect(new Set(large.map(({ thread }) => thread)).size).toBeGreaterThanOrEqual(2);
  // Grown in place: V8 lifts the protection of what it had reserved.
  const [first] = large;
  const [start, end] = [BigInt(first!.result!), BigInt(first!.result!) + BigInt(first!.length)];
  const lifted = calls.filter(
    ({ call, address, protection }) =>
      call === 'mprotect' && protection === 3 && BigInt(address) >= start && BigInt(address) < end,
  );
  expect(lifted.length).toBeGreaterThanOrEqual(2);
});

test('sees memmap, its calls and no others, with files and offsets', async () => {
  const path = scratch.file(Buffer.alloc(40_000, 7));
  const result = await traceUnder(
    scratch,
    script(`
      const mapping = memmap.mapFileSync(${JSON.stringify(path)});
      const [start, length] = [mapping.address, mapping.length];
      mapping.advise('random');
      mapping.unmap();
      console.log(JSON.stringify(['0x' + start.toString(16), Math.ceil(length / memmap.pageSize) * memmap.pageSize]));
    `),
  );
  expectGood(result);
  const [start, length] = JSON.parse(result.stdout) as [string, number];
  const ours = by(result.trace.events, ADDON);
  const at = ours.findIndex(({ result: address }) => address === start);
  expect(ours[at]).toMatchObject({
    call: 'mmap',
    address: '0x0',
    length,
    offset: 0,
    protection: 1,
  });
  expect(ours[at]!.fd).toBeGreaterThan(2);
  expect(ours.slice(at + 1)).toContainEqual(
    expect.objectContaining({ call: 'madvise', address: start, advice: 1, result: '0x0' }),
  );
  expect(ours.slice(at + 1)).toContainEqual(
    expect.objectContaining({ call: 'munmap', address: start, result: '0x0' }),
  );
});

test('the kernel’s list at the start and at the end, and what the calls do not explain of it', async () => {
  const { trace } = await traceUnder(
    scratch,
    script(
      'const m = memmap.mapAnonymous(2 ** 24); m.buffer.fill(1); await new Promise((r) => setTimeout(r, 300)); process.exit(0);',
    ),
  );
  const { snapshots, unseen, durationMs } = trace;
  expect(snapshots.length).toBeGreaterThan(2);
  expect(snapshots[0]!.time).toBe(0);
  const times = snapshots.map(({ time }) => time);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(times.at(-1)).toBeLessThanOrEqual(durationMs);
  const [first, last] = [snapshots[0]!.regions, snapshots.at(-1)!.regions];
  for (const regions of [first, last]) {
    expect(regions.some(({ path }) => path === process.execPath)).toBe(true);
    expect(regions.some(({ owner }) => owner.kind === 'stack')).toBe(true);
  }
  expect(last.length).toBeGreaterThan(first.length);
  // libc's own calls are there in every process, and not all of it is theirs.
  const total = last.reduce((sum, { length }) => sum + length, 0);
  expect(unseen.regions).toBeGreaterThan(10);
  expect(unseen.bytes).toBeGreaterThan(2 ** 20);
  expect(unseen.bytes).toBeLessThan(total);
});

test('addressSpace.trace() is the same, from the inside and while it runs', async () => {
  const result = await runUnder(
    script(`
      const before = memmap.addressSpace.trace();
      const mapping = memmap.mapAnonymous(123 * memmap.pageSize);
      const { pid, command, events, snapshots, unseen, ...rest } = memmap.addressSpace.trace();
      const found = events.slice(before.events.length).filter(({ call, length }) => call === 'mmap' && length === 123 * memmap.pageSize);
      console.log(JSON.stringify({ mine: pid === process.pid, command, found, rest,
        before: before.events.length, sets: snapshots.map(({ time, regions }) => [time, regions.length]),
        address: '0x' + mapping.address.toString(16), unseen }));
    `),
  );
  expectGood(result);
  const inside = JSON.parse(result.stdout) as {
    found: Trace['events'];
    address: string;
    sets: [number, number][];
  };
  expect(inside).toMatchObject({ mine: true, rest: { version: 1, lost: 0 } });
  expect(inside.found).toMatchObject([{ call: 'mmap', result: inside.address, verdict: 'done' }]);
  expect(inside.found[0]!.caller).toMatch(ADDON);
  expect(inside.sets).toHaveLength(2);
  expect(inside.sets[0]![0]).toBe(0);
  expect(inside.sets[1]![1]).toBeGreaterThan(20);
});

test('addressSpace.trace() is undefined without memmap run', async () => {
  const { stdout } = await runChild('console.log(memmap.addressSpace.trace());');
  expect(stdout).toBe('undefined\n');
});

test('addressSpace.trace() in a worker is that of the process', async () => {
  const result = await runUnder(
    script(`
      const { Worker } = require('node:worker_threads');
      const source = 'const memmap = require(' + JSON.stringify(require.resolve(${JSON.stringify(join(__dirname, '..', '..'))})) + ');'
        + "require('node:worker_threads').parentPort.postMessage(memmap.addressSpace.trace().events.length);";
      const worker = new Worker(source, { eval: true });
      worker.on('message', (count) => console.log(count > 50));
    `),
  );
  expectGood(result);
  expect(result.stdout).toBe('true\n');
});

const ways: [string, string[]][] = [
  ['as it is', []],
  ['placed first-fit', ['--policy', 'first-fit']],
  [
    'placed top-down, at a base, refused',
    ['--policy', 'top-down', '--base', '0x200000000000', '--arena', '8G', '--protect', 'refuse'],
  ],
];
test.each(ways)('the whole tour, %s', async (_name, options) => {
  const result = await runUnder([process.execPath, 'examples/tour.mjs'], { options });
  expectGood(result);
  expect(result.stdout).toMatch(/gives 0 differences/);
  expect(result.stdout).toMatch(/length 0, buffer\[0\] is undefined/);
  expect(result.programErrors).toBe('');
  expect(result.summary).toMatch(/calls of others that hit memmap's memory: 0 re/);
});

test('faults are repaired under the helper as they are without it', async () => {
  const result = await runUnder([process.execPath, 'examples/faults.mjs', scratch.path()], {
    options: ['--policy', 'best-fit', '--protect', 'refuse'],
  });
  expectGood(result);
  expect(result.stdout).toContain('guarded() throws ERR_MEMMAP_FAULT');
  expect(result.stdout).toContain('repaired: 0 faults, true');
});

test('a freed place stays reserved, and is given to the next', async () => {
  const result = await runUnder(
    script(`
      const fs = require('node:fs');
      const modeAt = (address) => fs.readFileSync('/proc/self/maps', 'latin1').split('\\n').map((line) => {
        const [, from, to, mode] = /^(\\w+)-(\\w+) (....)/.exec(line) ?? [];
        return [BigInt('0x' + (from ?? 0)), BigInt('0x' + (to ?? 0)), mode];
      }).find(([from, to]) => from <= address && address < to)?.[2];
      const [a, b, c] = [1, 2, 3].map(() => memmap.mapAnonymous(memmap.pageSize));
      const address = b.address;
      const modes = [modeAt(address)];
      b.unmap();
      modes.push(modeAt(address));
      const d = memmap.mapAnonymous(memmap.pageSize);
      modes.push(modeAt(address));
      console.log(JSON.stringify({ modes, again: d.address === address, base: ('0x' + a.address.toString(16)).slice(0, 6) }));
    `),
    { options: ['--base', '0x300000000000', '--arena', '1G'] },
  );
  expectGood(result);
  expect(JSON.parse(result.stdout)).toEqual({
    modes: ['rw-p', '---p', 'rw-p'],
    again: true,
    base: '0x3000',
  });
  expect(result.summary).toMatch(/placed: \d+ requests in 1\.0 GiB at 0x300000000000, first-fit/);
});
