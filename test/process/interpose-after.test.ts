// `memmap run` when the program has ended: whatever goes wrong then, it ends as the program did.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Trace } from '../../lib/index.js';
import { Scratch } from '../helpers/files';
import {
  by,
  compile,
  expectGood,
  helper,
  mapperSource,
  memmap,
  runUnder,
  traceUnder,
  unsupported,
} from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const root = join(__dirname, '..', '..');
const mapper = join(scratch.folder, 'mapper');
const missing = unsupported ?? compile(mapperSource, mapper);
const test = itUnless(missing);

describe('what cannot be written', () => {
  test.each([
    ['--trace', 'none/x.json', /--trace cannot be written: ENOENT/],
    ['--report', 'none/x.html', /--report cannot be written: ENOENT/],
    ['--trace', '.', /--trace cannot be written: it is a folder/],
  ])('is said before the program starts: %s %s', async (option, path, words) => {
    const options = [option, join(scratch.folder, path)];
    const result = await runUnder(['sh', '-c', 'echo started'], { options });
    expect(result).toMatchObject({ code: 1, signal: null, stdout: '' });
    expect(result.stderr).toMatch(words);
  });

  test.each([
    ['exit 7', { code: 7, signal: null }],
    ['kill -SEGV $$', { code: null, signal: 'SIGSEGV' }],
  ])('because the program removed the folder: %s', async (end, ending) => {
    const folder = scratch.path('outputs');
    mkdirSync(folder);
    const options = ['--trace', join(folder, 'x.json')];
    const result = await runUnder(['sh', '-c', `rmdir '${folder}'; ${end}`], { options });
    expect(result).toMatchObject(ending);
    expect(result.summary).toMatch(/--trace cannot be written: ENOENT/);
    expect(result.summary).toMatch(/calls, 0 of them failed/);
  });
});

test('a program that clears the temporary folder: what it called is there', async () => {
  const command = ['sh', '-c', `rm -rf "$(dirname "$MEMMAP_RUN")"; exec '${mapper}' once`];
  const result = await traceUnder(scratch, [
    'sh',
    '-c',
    `rm -rf "$(dirname "$MEMMAP_RUN")"; exit 7`,
  ]);
  expect(result).toMatchObject({ code: 7, signal: null });
  expect(by(result.trace.events, /interpose/).length).toBeGreaterThan(1);
  // The next program of the process finds no table, and goes on.
  expect(await runUnder(command)).toMatchObject({ code: 0, stdout: 'done\n' });
});

test('a child’s table that is none is told of, and the rest is there', async () => {
  const source = `echo junk > "$MEMMAP_RUN.99"; '${mapper}' once; exit 7`;
  const result = await runUnder(['sh', '-c', source], { options: ['--children'] });
  expect(result).toMatchObject({ code: 7, signal: null });
  expect(result.summary).toMatch(/process 99 cannot be told of: .* bytes are too few/);
  expect(result.summary.match(/a child, seen/g)).toHaveLength(1);
});

test('programs that are not to be recorded say nothing, when the run is long over as well', async () => {
  const late = scratch.path('late');
  const source = `rm -rf "$(dirname "$MEMMAP_RUN")"; '${mapper}' once 2> '${late}'; exit 0`;
  expectGood(await runUnder(['sh', '-c', source]));
  expect(readFileSync(late, 'utf8')).toBe('');
  // Who is to be recorded says that he cannot be.
  expectGood(await runUnder(['sh', '-c', source], { options: ['--children'] }));
  expect(readFileSync(late, 'utf8')).toMatch(/the trace cannot be opened/);
});

test('a temporary folder that is said from here on is found from elsewhere', async () => {
  const path = relative(root, scratch.folder);
  const result = await runUnder(['sh', '-c', `cd /; '${mapper}' once`], {
    options: ['--children'],
    env: { TMPDIR: path },
  });
  expectGood(result);
  expect(result.stderr).not.toContain('cannot be opened');
  expect(result.summary.match(/a child, seen/g)).toHaveLength(1);
});

describe('a number of a process that another one had', () => {
  // In a shell that is not recorded: a table bears its number, of a process that was born at another time.
  const forge = scratch.file(`const fs = require('node:fs');
    const [path, pid] = process.argv.slice(2);
    const fd = fs.openSync(path, 'r+');
    fs.writeSync(fd, new Uint32Array([Number(pid)]), 0, 4, 64);
    fs.writeSync(fd, new BigUint64Array([1n]), 0, 8, 160);`);
  const inner = scratch.file(`[ "$1" = "$MEMMAP_RUN" ] && table="$1" || table="$MEMMAP_RUN.$$"
    [ "$1" = "$MEMMAP_RUN" ] || cp "$1" "$table"
    '${process.execPath}' '${forge}' "$table" $$
    LD_PRELOAD="$2" exec '${mapper}' once`);
  const taken = (table: string): string[] => [
    ...['sh', '-c'],
    `cp "$MEMMAP_RUN" "$MEMMAP_RUN-copy"; env -u LD_PRELOAD sh '${inner}' "${table}" "$LD_PRELOAD"; exit 0`,
  ];
  const bytesOf = (folder: string, name: string): Trace =>
    JSON.parse(readFileSync(join(folder, name), 'utf8')) as Trace;

  test('has a table of its own', async () => {
    const folder = scratch.path('numbers');
    mkdirSync(folder);
    const options = ['--children', '--events', '1000', '--trace', join(folder, 'x.json')];
    const result = await runUnder(taken('$MEMMAP_RUN-copy'), { options });
    expectGood(result);
    const second = readdirSync(folder).filter((name) => /^x\.\d+\.2\.json$/.test(name));
    expect(second).toHaveLength(1);
    const [name = ''] = second;
    expect(by(bytesOf(folder, name).events, /mapper$/)).toHaveLength(2);
    const first = bytesOf(folder, name.replace('.2.json', '.json'));
    expect(by(first.events, /mapper$/)).toEqual([]);
  });

  test('and does not write into that of the program', async () => {
    const result = await traceUnder(scratch, taken('$MEMMAP_RUN'), {
      options: ['--children'],
    });
    expectGood(result);
    expect(by(result.trace.events, /mapper$/)).toEqual([]);
    // The first line is about the program itself, the others are of children.
    expect(result.summary.split('\n')[0]).toMatch(/process \d+$/);
  });

  const namespaces = spawnSync('unshare', ['-pf', 'true']).status === 0;
  itUnless(missing ?? (namespaces ? undefined : 'no PID namespace can be made here (unshare -pf)'))(
    'at once, in another PID namespace',
    async () => {
      const folder = scratch.path('namespaces');
      mkdirSync(folder);
      const options = ['--children', '--events', '1000', '--trace', join(folder, 'x.json')];
      const one = `unshare -pf '${mapper}' shrink`;
      const result = await runUnder(['sh', '-c', `${one} 3 & ${one} 30; wait`], { options });
      expectGood(result);
      const calls = ['x.1.json', 'x.1.2.json'].map(
        (name) => by(bytesOf(folder, name).events, /mapper$/).length,
      );
      expect(calls.sort((a, b) => a - b)).toEqual([6, 60]);
    },
  );
});

test.each([['--help'], ['-h']])('%s of the program is its own', (word) => {
  const { status, stdout } = spawnSync(
    process.execPath,
    [memmap, 'run', '--protect', 'off', 'sh', '-c', 'echo "$1"', 'sh', word],
    { encoding: 'utf8' },
  );
  expect([status, stdout]).toEqual([0, `${word}\n`]);
});

describe('what would steer the terminal', () => {
  const hostile = '\u001b]0;pwned\u0007\u001b[31m\u202ered';
  const steers = (text: string): boolean =>
    ['\u001b', '\u0007', '\u202e'].some((character) => text.includes(character));

  test('in the words of the command is shown as numbers', async () => {
    const result = await runUnder(['sh', '-c', ':', hostile]);
    expectGood(result);
    expect(result.summary).toContain('\\x1b]0;pwned\\x07\\x1b[31m\\u{202e}red: ended with 0');
    expect(steers(result.stderr)).toBe(false);
  });

  test('in the name of a library, too, and in a message', async () => {
    const program = scratch.path(`program${hostile}`);
    expect(compile(mapperSource, program)).toBeUndefined();
    const result = await runUnder(['sh', '-c', 'exec "$0" once', program]);
    expectGood(result);
    expect(result.summary).toMatch(/ 1 {8}1 .*program\\x1b\]0;pwned/);
    expect(steers(result.stderr)).toBe(false);
    const trace = scratch.path(`none${hostile}/x.json`);
    const refused = await runUnder(['true'], { options: ['--trace', trace] });
    expect(refused.stderr).toContain('none\\x1b]0;pwned');
    expect(existsSync(trace)).toBe(false);
  });

  test('in a line of the helper is a question mark', () => {
    const { status, stderr } = spawnSync(mapper, ['once'], {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: helper, MEMMAP_RUN: '/none/\u001b[31m\nred' },
    });
    expect(status).toBe(0);
    expect(stderr).toMatch(/so nothing is recorded: \/none\/\?\[31m\?red\n$/);
  });
});
