// What the documentation says is run: every block of JavaScript in it, and every file of examples/.
//
// A block runs as a module of its own, in a folder of its own. In it `code; // => value` is an assertion: the value as
// util.inspect prints it, or `throws CODE`. After console.log(...) it is the line that was printed. A block whose first line
// is `// Node 22 and later` is left out where Node is older.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Scratch } from './helpers/files.js';
import { itUnless } from './helpers/refusals.js';

const root = join(__dirname, '..');
const scratch = new Scratch();
afterAll(() => scratch.remove());

const documents = [
  'README.md',
  ...fs
    .readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const textOf = (document: string): string => fs.readFileSync(join(root, document), 'utf8');

interface Block {
  readonly name: string;
  readonly code: string;
}

/** Every block of JavaScript in a document, named by its line. */
function blocksOf(document: string): Block[] {
  const text = textOf(document);
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(({ index, [1]: code = '' }) => {
    const line = text.slice(0, index).split('\n').length + 1;
    return { name: `${document}:${String(line)}`, code };
  });
}

const ASSERTION = /^(\s*)(.*?);? *\/\/ => (.*)$/;

/** The block with its `// =>` comments turned into calls of check(). */
function instrument(code: string): string {
  let assertions = 0;
  const lines = code.split('\n').map((line) => {
    const [, indent = '', statement = '', expected = ''] = ASSERTION.exec(line) ?? [];
    if (expected === '') return line;
    const number = assertions++;
    const value = JSON.stringify(expected);
    const declared = /^(?:const|let) (\w+) = /.exec(statement)?.[1];
    if (declared !== undefined) {
      return `${indent}${statement}; check(${number}, () => ${declared}, ${value});`;
    }
    const printed = /^console\.log\((.*)\)$/.exec(statement)?.[1];
    if (printed !== undefined) {
      return `${indent}check(${number}, () => new Printed(${printed}), ${value});`;
    }
    const later = /\bawait\b/.test(statement);
    return later
      ? `${indent}await checkLater(${number}, async () => (${statement}), ${value});`
      : `${indent}check(${number}, () => (${statement}), ${value});`;
  });
  return `import { Printed, check, checkLater, expectAssertions } from './check.mjs';\nexpectAssertions(${assertions});\n${lines.join('\n')}`;
}

/** Runs beside a block: compares, and on exit sees to it that no assertion was left out. */
const CHECK = `
import { format, inspect } from 'node:util';

export class Printed {
  constructor(...values) { this.text = format(...values); }
}
const shown = (value) =>
  value instanceof Printed ? value.text : inspect(value, { breakLength: Infinity, compact: 3 });
const thrown = ({ code, name }) => 'throws ' + (typeof code === 'string' ? code : name);

const open = new Set();
export function expectAssertions(count) {
  for (let number = 0; number < count; number++) open.add(number);
}
process.on('exit', (code) => {
  if (code !== 0 || open.size === 0) return;
  console.error('never reached: assertion ' + [...open].join(', '));
  process.exitCode = 1;
});

function compare(number, found, expected) {
  open.delete(number);
  if (found !== expected) throw new Error('found ' + found + ' instead of ' + expected);
}
export function check(number, run, expected) {
  let found;
  try { found = shown(run()); } catch (error) { found = thrown(error); }
  compare(number, found, expected);
}
export async function checkLater(number, run, expected) {
  let found;
  try { found = shown(await run()); } catch (error) { found = thrown(error); }
  compare(number, found, expected);
}
`;

/** A folder in which 'memmap' is this package. */
function folderFor(code: string): { folder: string; file: string } {
  const folder = scratch.path('block');
  fs.mkdirSync(join(folder, 'node_modules'), { recursive: true });
  fs.symlinkSync(root, join(folder, 'node_modules', 'memmap'), 'dir');
  fs.writeFileSync(join(folder, 'check.mjs'), CHECK);
  const file = join(folder, 'block.mjs');
  fs.writeFileSync(file, code);
  return { folder, file };
}

/** What a program prints; that it ended by itself and well is asserted. */
function run(file: string, args: readonly string[], folder: string): string {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 50_000,
  });
  expect({ status, signal, stderr: status === 0 ? '' : stderr }).toEqual({
    status: 0,
    signal: null,
    stderr: '',
  });
  return stdout;
}

describe('the blocks of the documentation', () => {
  const blocks = documents.flatMap(blocksOf);

  it('are found, and so are their assertions', () => {
    expect(blocks.length).toBeGreaterThan(20);
    const lines = blocks.flatMap(({ code }) => code.split('\n'));
    const comments = lines.filter((line) => line.includes('// =>'));
    expect(comments.filter((line) => !ASSERTION.test(line))).toEqual([]);
    expect(comments.length).toBeGreaterThan(60);
  });

  for (const { name, code } of blocks) {
    const [, needed = '0'] = /^\/\/ Node (\d+) and later\n/.exec(code) ?? [];
    const tooOld = parseInt(process.versions.node, 10) < Number(needed);
    itUnless(tooOld ? `${name} needs Node ${needed}` : undefined)(name, () => {
      const { folder, file } = folderFor(instrument(code));
      run(file, [], folder);
    });
  }

  it('fail when a value is wrong, an assertion is not reached or nothing is thrown', () => {
    const failing = ['1 + 1; // => 3', 'if (false) {\n  1; // => 1\n}', '1; // => throws ENOENT'];
    for (const code of failing) {
      const { folder, file } = folderFor(instrument(code));
      const { status } = spawnSync(process.execPath, [file], { cwd: folder, stdio: 'pipe' });
      expect(status).toBe(1);
    }
  });
});

describe('the examples', () => {
  const log = Array.from({ length: 200_000 }, (_, at) => `line ${String(at)}\n`).join('');
  const input = (): string => scratch.file(log);

  const examples: Record<string, () => { args: string[]; says: RegExp[] }> = {
    'append-log.mjs': () => ({
      args: [scratch.path(), '2000'],
      says: [
        /^2000 records in \d+ bytes$/m,
        /^the reader saw 2000 records, the last: record 1999$/m,
      ],
    }),
    'cluster-counter.mjs': () => ({
      args: ['3000'],
      says: [
        /^3 workers counted to 3000 each: 9000$/m,
        /^with Atomics.add +9000\nwith \+\+ in a Mutex +9000\nwith \+\+ and no lock +\d+$/m,
      ],
    }),
    'counter.mjs': () => ({
      args: [scratch.path()],
      says: [/^two processes counted to 200000$/m],
    }),
    'database-swap.mjs': () => ({
      args: ['4'],
      says: [/^version 1: 1000 records\nversion 2: 2000 records\n/, /^version 4: 4000 records$/m],
    }),
    'elf-loader.mjs': () => ({
      args: [],
      says: [
        /^(?:libc\.so\.6|ld-musl\S+): \d+ segments in 0x\w+ bytes\n {2}r-- +0x0 to 0x\w+ +the loader's bytes$/m,
        /^ {2}r-x +0x\w+ to 0x\w+ +the loader's bytes$/m,
        /^ {2}rw- +0x\w+ to 0x\w+ +as in the file, then zeros\nnode: \d+ segments/m,
        /^2 files laid out as the loader did$/m,
      ],
    }),
    'faults.mjs': () => ({
      args: [scratch.path()],
      says: [
        /^before: 10000 lines\ncut short: 0 lines/,
        /^the event: truncated, 98890 bytes at 0 of the file$/m,
        /^guarded\(\) throws ERR_MEMMAP_FAULT\nflush\(\) rejects with ERR_MEMMAP_FAULT$/m,
        /^repaired: 0 faults, true\nwritten while there was no file$/m,
      ],
    }),
    'fragmentation.mjs': () => ({
      args: [],
      says: [
        /^kernel +\|.{64}\| largest free \d+\.\d MiB$/m,
        /^segregated \|@+.? +\| largest free \d{3}\.\d MiB$/m,
        /^segregated leaves \d+\.\d times the room for one large block$/m,
      ],
    }),
    'grep.mjs': () => ({
      args: ['line 12345', input()],
      says: [
        /^line 12345\nline 123450\n/,
        new RegExp(`^line 123459\n11 lines of ${log.length} bytes$`, 'm'),
      ],
    }),
    'hot-swap.mjs': () => ({
      args: ['500'],
      says: [
        /^\d+ swaps under one Buffer; 2 readers saw \d+ versions$/m,
        /^\d+ records, each of one version, \d+ of them at the second look$/m,
      ],
    }),
    'job-queue.mjs': () => ({
      args: ['6'],
      says: [
        /^Kay ended with SIGKILL$/m,
        /^job 1 was done by (?:Ann|Joe) \(Kay had begun it and was killed\)\njob 2 was done by (?:Ann|Joe)$/m,
        /^6 jobs, each done once$/m,
      ],
    }),
    'pin.mjs': () => ({
      args: [input()],
      says: [/unmap\(\) throws ERR_MEMMAP_BUSY$/m, /: unmapped$/m, /^nothing was lost: true$/m],
    }),
    'port-from-c.mjs': () => ({
      args: [input(), String(log.indexOf('line 123456')), '11'],
      says: [/^line 123456$/],
    }),
    'python-array.mjs': () => ({
      args: ['16'],
      says: [
        /^python filled 2097152 numbers in \d+ ms$/m,
        /^node added them up in \d+ ms: 68718428160\nwhich is right$/m,
      ],
    }),
    'ring-buffer.mjs': () => ({
      args: ['20000'],
      says: [/^20000 messages through \d+ bytes, each in one piece\n\d+ of them lay across/],
    }),
    'search.mjs': () => ({
      args: ['found'],
      says: [/^'found' is at 6442449944 of 6442450944 bytes$/m],
    }),
    'tail.mjs': () => ({
      args: [scratch.file('one\ntwo\nthree'), '2'],
      says: [/^one\ntwo\n$/],
    }),
    'tour.mjs': () => ({
      args: [],
      says: [/ERR_MEMMAP_OVERLAP$/m, /gives 0 differences$/m, /length 0/],
    }),
  };

  it('are all in this list', () => {
    expect(fs.readdirSync(join(root, 'examples')).sort()).toEqual(Object.keys(examples).sort());
  });

  it.each(Object.keys(examples))('%s', (name) => {
    const { args, says } = examples[name]!();
    const printed = run(join(root, 'examples', name), args, scratch.folder);
    for (const expected of says) expect(printed).toMatch(expected);
  });
});

describe('the documentation', () => {
  const anchorsOf = (document: string): Set<string> =>
    new Set(
      [...textOf(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      ),
    );

  it.each(documents)('%s: every link leads somewhere', (document) => {
    const links = [...textOf(document).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(
      ([, target = '']) => target,
    );
    const dead = links.filter((target) => {
      const [path = '', anchor] = target.split('#');
      const linked = path === '' ? document : join(dirname(document), path);
      if (!fs.existsSync(resolve(root, linked))) return true;
      return anchor !== undefined && !anchorsOf(linked).has(anchor);
    });
    expect(dead).toEqual([]);
  });

  it('explains every code that memmap has', () => {
    const source = fs.readFileSync(join(root, 'lib', 'errors.ts'), 'utf8');
    const misuses = source.matchAll(/^ {2}([A-Z_]+): (?:Range|Type)?Error,/gm);
    const others = source.matchAll(/code: 'ERR_MEMMAP_([A-Z_]+)'/g);
    const kinds = [...misuses, ...others].map(([, kind]) => kind);
    expect(kinds.length).toBeGreaterThan(8);
    expect(kinds).toContain('FAULT');
    const headings = [...textOf('docs/errors.md').matchAll(/^### ERR_MEMMAP_([A-Z_]+)$/gm)];
    expect(headings.map(([, kind]) => kind).sort()).toEqual(kinds.sort());
  });
});
