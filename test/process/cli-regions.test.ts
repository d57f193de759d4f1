// `memmap regions`: the table and the JSON, against the kernel's own books.

import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import type { RegionJson } from '../../lib/cli/data';
import { main, memmap, memmapOnTerminal, waiting } from '../helpers/cli';
import { Scratch } from '../helpers/files';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const notLinux = process.platform === 'linux' ? undefined : 'this reads /proc';
const linux = itUnless(notLinux);
// eslint-disable-next-line no-control-regex -- the escape of colours
const COLOURS = /\u001b\[\d+m/g;

const jsonOf = (args: string[]): RegionJson[] =>
  JSON.parse(memmap(['regions', '--json', ...args]).stdout) as RegionJson[];

/** A process that stands still, with a file mapped by memmap. */
async function standing(file = scratch.file(Buffer.alloc(3 * 2 ** 20, 1))) {
  const index = join(__dirname, '..', '..', 'dist', 'index.js');
  const source = `const m = require(${JSON.stringify(index)}).mapFileSync(${JSON.stringify(file)});
    m.buffer[5000]; console.log(m.address.toString(16)); process.stdin.resume(); globalThis.m = m;`;
  return waiting(source);
}

/** The kernel's list, and what `look` found while it did not change: V8 tidies up when it likes. */
function atOnce<T>(pid: number, look: () => T): [lines: string[], found: T] {
  const list = () => readFileSync(`/proc/${String(pid)}/maps`, 'utf8');
  for (;;) {
    const before = list();
    const found = look();
    if (list() === before) return [before.trim().split('\n'), found];
  }
}

linux('--json has every region that the kernel has, in its order', async () => {
  const child = await standing();
  const [maps, regions] = atOnce(child.pid, () => jsonOf([String(child.pid)]));
  await child.stop();
  // A region may be shown in parts; their borders are the kernel's and more.
  const starts = new Set(regions.map(({ start }) => BigInt(start)));
  const kernels = maps.map((line) => BigInt(`0x${line.split('-')[0]!}`));
  expect(kernels.filter((start) => !starts.has(start))).toEqual([]);
  const mapped = maps.reduce((sum, line) => {
    const [start = '', end = ''] = line.split(' ')[0]!.split('-');
    return sum + BigInt(`0x${end}`) - BigInt(`0x${start}`);
  }, 0n);
  expect(regions.reduce((sum, { length }) => sum + BigInt(length), 0n)).toBe(mapped);
  const ours = regions.find(({ start }) => start === `0x${child.line}`);
  expect(ours).toMatchObject({ length: 3 * 2 ** 20, protection: 'r--', shared: true });
});

linux('the table has a line for each, totals by owner, and the largest hole', async () => {
  const child = await standing();
  const pid = String(child.pid);
  const [, { regions, stdout, stderr, code }] = atOnce(child.pid, () => ({
    regions: jsonOf([pid]),
    ...memmap(['regions', pid]),
  }));
  await child.stop();
  expect([code, stderr]).toEqual([0, '']);
  const [table = '', totals = '', hole = ''] = stdout.split('\n\n');
  const lines = table.split('\n');
  expect(lines[0]).toMatch(/^ADDRESSES +SIZE +RWX +RESIDENT +DIRTY +OWNER +NAME$/);
  expect(lines).toHaveLength(regions.length + 1);
  const ours = lines.find((line) => line.startsWith(child.line))!;
  expect(ours).toMatch(/^[0-9a-f]+-[0-9a-f]+ +3 MiB +r-- +\d.*B +\d.*B +file +\/.*-file$/);
  // What is piped is never cut, and has no colours.
  expect(lines.filter((line) => line.includes('…'))).toEqual([]);
  expect(stdout).not.toMatch(COLOURS);
  const kinds = new Set(regions.map(({ owner }) => owner.kind));
  expect(totals.split('\n')).toHaveLength(kinds.size + 2);
  expect(totals).toMatch(new RegExp(`^all +${String(regions.length)} `, 'm'));
  expect(hole).toMatch(/^largest hole: \d.* TiB at 0x[0-9a-f]+$/m);
});

linux('filters and sorts', async () => {
  const child = await standing();
  const pid = String(child.pid);
  const libraries = jsonOf([pid, '--owner', 'library']);
  const both = jsonOf([pid, '--owner', 'library', '--owner', 'executable']);
  const bySize = jsonOf([pid, '--sort', 'size']).map(({ length }) => length);
  const byResident = jsonOf([pid, '--sort', 'resident']).map(({ resident = 0 }) => resident);
  await child.stop();
  expect(libraries.length).toBeGreaterThan(5);
  expect(new Set(libraries.map(({ owner }) => owner.kind))).toEqual(new Set(['library']));
  expect(new Set(both.map(({ owner }) => owner.kind))).toEqual(new Set(['library', 'executable']));
  for (const list of [bySize, byResident]) {
    expect(list).toEqual([...list].sort((a, b) => b - a));
    expect(list[0]).toBeGreaterThan(list.at(-1)!);
  }
});

it('looks at itself where no process is named', () => {
  const kinds = new Set(jsonOf([]).map(({ owner }) => owner.kind));
  expect([...kinds]).toEqual(expect.arrayContaining(['executable', 'library']));
});

linux('fits the terminal, cuts paths on the left, and drops columns when there is no room', () => {
  for (const columns of [160, 100, 80, 60]) {
    const { stdout, code } = memmapOnTerminal(['regions'], { columns });
    expect(code).toBe(0);
    const lines = stdout.replace(COLOURS, '').split('\n');
    expect(lines.filter((line) => line.length > columns && !line.startsWith('?'))).toEqual([]);
    const words = lines[0]!.split(/ +/);
    expect([columns, words[0], words.includes('DIRTY'), words.includes('NAME')]).toEqual([
      columns,
      columns < 100 ? 'START' : 'ADDRESSES',
      columns >= 80,
      columns >= 80,
    ]);
    if (columns === 80) expect(stdout).toMatch(/….*libc\.so/);
  }
});

linux('has colours on a terminal, unless NO_COLOR says no', () => {
  const wide = { columns: 150 };
  const coloured = memmapOnTerminal(['regions'], wide).stdout;
  expect(coloured).toMatch(COLOURS);
  const plain = memmapOnTerminal(['regions'], { ...wide, env: { NO_COLOR: '1' } }).stdout;
  expect(plain).not.toMatch(COLOURS);
  // Two processes: the same columns, not always of the same width.
  const titles = (text: string) => text.split('\n')[0]!.replace(COLOURS, '').trim().split(/ +/);
  expect(titles(plain)).toEqual(titles(coloured));
});

linux('shows a name that would steer the terminal as text', async () => {
  const file = scratch.path('\u001b[31mred\u0007例え');
  writeFileSync(file, Buffer.alloc(8192));
  const child = await standing(file);
  const { stdout } = memmap(['regions', String(child.pid), '--owner', 'file']);
  await child.stop();
  expect(stdout).toContain('\\x1b[31mred\\x07例え');
  expect(stdout).not.toContain('\u001b');
});

linux('shows what reorders letters or is not to be seen as text', async () => {
  const file = scratch.path('gpj\u202e\u2066\u061c\u200b\ufeff\u{e0041}\u3164é例');
  writeFileSync(file, Buffer.alloc(8192));
  const child = await standing(file);
  const { stdout } = memmap(['regions', String(child.pid), '--owner', 'file']);
  await child.stop();
  expect(stdout).toContain(
    'gpj\\u{202e}\\u{2066}\\u{61c}\\u{200b}\\u{feff}\\u{e0041}\\u{3164}é例\n',
  );
  expect(stdout).not.toMatch(/\p{Default_Ignorable_Code_Point}|\p{Cf}/u);
});

const notRoot = process.getuid?.() === 0 ? undefined : 'only root can become somebody else';
itUnless(notLinux ?? notRoot)('says whose process it may not look at', () => {
  // The package lies where another user may not read: the addon is loaded before the user changes.
  const program = `process.chdir('/'); require(${JSON.stringify(join(main, '..', '..', 'index.js'))});
    process.setgid(65534); process.setuid(65534);
    process.argv[2] = 'regions'; process.argv[3] = '1'; process.argv.length = 4;
    require(${JSON.stringify(main)});`;
  const file = scratch.path('other-user.cjs');
  writeFileSync(file, program);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, 'regions', '1'], {
    encoding: 'utf8',
  });
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(
    /^memmap: process 1 may not be looked at: it is another user's, and that takes root or CAP_SYS_PTRACE\n$/,
  );
});

linux('runs by any name that it is linked under', () => {
  const link = scratch.path('memmap');
  symlinkSync(main, link);
  const { status, stdout } = spawnSync(process.execPath, [link, 'regions', '--json'], {
    encoding: 'utf8',
  });
  expect([status, Array.isArray(JSON.parse(stdout))]).toEqual([0, true]);
});
