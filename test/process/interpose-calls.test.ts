// The LD_PRELOAD helper below a program of C that does everything at once: threads, handlers, forks.

import { amount } from '../helpers/amount';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pageSize } from '../../lib/granularity';
import { Scratch } from '../helpers/files';
import {
  by,
  compile,
  expectGood,
  helper,
  mapperSource,
  runUnder,
  traceUnder,
  unsupported,
} from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const mapper = join(scratch.folder, 'mapper');
const missing = unsupported ?? compile(mapperSource, mapper);
const test = itUnless(missing);

const BASE = 0x2000_0000_0000n;
const ARENA = 256 * 2 ** 20;
const placed = (policy: string): string[] => [
  ...['--policy', policy, '--base', `0x${BASE.toString(16)}`, '--arena', '256M'],
  ...['--protect', 'refuse'],
];
const ways: [string, string[]][] = [
  ['the kernel places', []],
  ['first-fit', placed('first-fit')],
  ['best-fit', placed('best-fit')],
  ['top-down', placed('top-down')],
  ['an arena that is soon full', ['--policy', 'first-fit', '--arena', '1M']],
];

describe.each(ways)('%s', (_name, options) => {
  test('errno is the kernel’s, and what is moved keeps its bytes', async () => {
    const result = await runUnder([mapper, 'errno'], { options });
    expectGood(result);
    expect(result.stdout).toBe('done\n');
  });

  test('four threads at once', async () => {
    const result = await traceUnder(scratch, [mapper, 'threads', String(amount(500, 4000))], {
      options,
    });
    expectGood(result);
    const { events } = result.trace;
    const calls = by(events, /mapper$/);
    expect(new Set(calls.map(({ thread }) => thread)).size).toBe(4);
    expect(new Set(calls.map(({ call }) => call))).toEqual(
      new Set(['mmap', 'munmap', 'mremap', 'mprotect']),
    );
    expect(calls.every(({ result: address }) => address !== null)).toBe(true);
    expect(events.map(({ time }) => time)).toEqual(
      events.map(({ time }) => time).sort((a, b) => a - b),
    );
    expect(result.trace.lost).toBe(0);
  });

  test('a handler maps while it interrupts those who do', async () => {
    const result = await runUnder([mapper, 'alarm', String(amount(200, 4000))], { options });
    expectGood(result);
    expect(result.stdout).toBe('handled some\ndone\n');
  });

  test('fork, vfork, posix_spawn and clone, while others map', async () => {
    const result = await traceUnder(scratch, [mapper, 'fork', String(amount(2, 5))], { options });
    expectGood(result);
    const threads = new Set(by(result.trace.events, /mapper$/).map(({ thread }) => thread));
    // The four, and the one that forks: a forked child is not recorded, and vfork is the parent itself.
    expect(threads.size).toBe(5);
  });
});

test.each(['first-fit', 'best-fit', 'top-down'])(
  'random calls, %s: the kernel lists what they made, and no hole',
  async (policy) => {
    const calls = amount(5000, 100_000);
    const words = [mapper, 'model', String(calls), String(BASE), String(ARENA)];
    const { trace, ...result } = await traceUnder(scratch, words, { options: placed(policy) });
    expectGood(result);
    const mapped = by(trace.events, /mapper$/).filter(
      ({ call, flags = 0 }) => call === 'mmap' && (flags & 0x10) === 0,
    );
    expect(mapped.length).toBeGreaterThan(calls / 10);
    expect(new Set(mapped.map(({ verdict }) => verdict))).toEqual(new Set(['placed']));
    const addresses = mapped.map(({ result: address }) => BigInt(address!));
    expect(addresses.every((at) => at >= BASE && at < BASE + BigInt(ARENA))).toBe(true);
    const lowest = addresses.reduce((a, b) => (a < b ? a : b));
    const highest = addresses.reduce((a, b) => (a > b ? a : b));
    if (policy === 'top-down') expect(highest).toBeGreaterThan(BASE + BigInt(ARENA / 2));
    else expect(lowest).toBe(BASE);
  },
  120_000,
);

describe('the table', () => {
  test('outlives SIGKILL, and what was seen until then is in it', async () => {
    const result = await traceUnder(scratch, [mapper, 'kill', '100']);
    expect(result).toMatchObject({ code: null, signal: 'SIGKILL' });
    expect(by(result.trace.events, /mapper$/).map(({ call }) => call)).toEqual(
      Array.from({ length: 200 }, (_, at) => (at % 2 === 0 ? 'mmap' : 'munmap')),
    );
    expect(result.summary).toContain('ended by SIGKILL');
  });

  test('outlives _exit', async () => {
    const result = await traceUnder(scratch, [mapper, '_exit']);
    expect(result).toMatchObject({ code: 5, signal: null });
    expect(by(result.trace.events, /mapper$/)).toHaveLength(2);
    expect(result.trace.snapshots.length).toBeGreaterThan(0);
  });

  test('has room for so many calls, and counts the rest', async () => {
    const result = await traceUnder(scratch, [mapper, 'shrink', '100'], {
      options: ['--events', '50'],
    });
    expectGood(result);
    const { events, lost } = result.trace;
    expect([events.length, events.length + lost]).toEqual([
      50,
      200 + by(events, /interpose/).length,
    ]);
    expect(result.summary).toMatch(/lost \(more room: --events\)/);
  });

  test('keeps more calls than it makes room for at once', async () => {
    const result = await traceUnder(scratch, [mapper, 'shrink', '20000']);
    expectGood(result);
    expect(by(result.trace.events, /mapper$/)).toHaveLength(40_000);
    expect(result.trace.lost).toBe(0);
  });

  test('tells of the last program of a process', async () => {
    const result = await traceUnder(scratch, [mapper, 'exec']);
    expectGood(result);
    expect(by(result.trace.events, /mapper$/).map(({ call }) => call)).toEqual(['mmap', 'munmap']);
    expect(result.summary).toContain('program 2 of the process');
  });

  test('of programs that it starts, where that is asked for', async () => {
    const without = await runUnder(['sh', '-c', `'${mapper}' once; '${mapper}' errno`]);
    expectGood(without);
    expect(without.summary.match(/a child, seen/g)).toBeNull();
    const result = await traceUnder(
      scratch,
      ['sh', '-c', `'${mapper}' once; '${mapper}' errno; :`],
      {
        options: ['--children'],
      },
    );
    expectGood(result);
    expect(result.summary.match(/a child, seen/g)).toHaveLength(2);
  });
});

test('a page of a mapping is the kernel’s own, not the size of somebody’s idea', async () => {
  const result = await traceUnder(scratch, [mapper, 'once']);
  expect(result.trace.pageSize).toBe(pageSize);
  expect(by(result.trace.events, /mapper$/)).toMatchObject([
    { call: 'mmap', address: '0x0', length: pageSize, protection: 3, flags: 0x22, verdict: 'done' },
    { call: 'munmap', length: pageSize, result: '0x0', verdict: 'done' },
  ]);
});

test('the helper needs no library, and exports the calls and two functions', () => {
  const read = (...args: string[]) => execFileSync('readelf', args, { encoding: 'utf8' });
  expect(read('-d', helper)).not.toContain('NEEDED');
  const exported = [...read('-W', '--dyn-syms', helper).matchAll(/GLOBAL DEFAULT +\d+ (\S+)/g)];
  expect(exported.map(([, name]) => name).sort()).toEqual([
    'dlclose',
    'madvise',
    'memmap_interpose_enroll',
    'memmap_interpose_table',
    'mmap',
    'mmap64',
    'mprotect',
    'mremap',
    'munmap',
  ]);
});
