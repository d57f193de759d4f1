// What children that use shared memory have in scope, beside the prelude of test/process/program.ts.
import { existsSync } from 'node:fs';
import { type ChildOptions } from './child';
import { prefix } from './shared';
import { survives } from '../process/program';

/** Plain JavaScript, for the Node that the child runs on. */
const kit = `
const { execFileSync, fork, spawn } = require('node:child_process');
const { createInterface } = require('node:readline');
const { setTimeout: later } = require('node:timers/promises');
const { SharedMemory } = memmap;

let names = 0;
const newName = (what = 'x') => ${JSON.stringify(prefix)} + String(process.pid) + '-' + String(names++) + '-' + what;
const there = (name) => fs.existsSync('/dev/shm/' + name);

// Whatever happens in another process happens at some time: looks again until it is so.
async function until(condition, what) {
  for (let round = 0; round < 1000; round++) {
    if (await condition()) return;
    await later(10);
  }
  assert.fail('still not so after ten seconds: ' + what);
}

const started = [];
process.on('exit', () => { for (const child of started) child.kill('SIGKILL'); });

// A process with these words and lines, which are asked for one by one.
function talkTo(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], ...options });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit');
  return {
    child,
    ended,
    tell: (line) => child.stdin.write(line + '\\n'),
    next: async () => (await lines.next()).value,
    async kill(signal = 'SIGKILL') { child.kill(signal); await ended; },
  };
}

// Another Node: the source may await, and has memmap, fs, SharedMemory, say, ask and argv.
function node(source, args = [], options = {}) {
  const { execPath = process.execPath, ...rest } = options;
  const head = 'const memmap = require(' + JSON.stringify(entry) + ');'
    + "const fs = require('node:fs'); const { SharedMemory } = memmap; const argv = process.argv.slice(1);"
    + 'const say = (value) => console.log(typeof value === "string" ? value : JSON.stringify(value));'
    + "const lines = require('node:readline').createInterface({ input: process.stdin })[Symbol.asyncIterator]();"
    + 'const ask = async () => (await lines.next()).value;';
  return talkTo(execPath, ['-e', head + '(async () => {' + source + '})();', '--', ...args], rest);
}

const python = (source, args = [], options) => talkTo('python3', ['-c', source, ...args], options);

// A program in C, built once.
function buildC(source) {
  const file = join(folder, 'program-' + String(names++));
  fs.writeFileSync(file + '.c', source);
  execFileSync('cc', ['-O1', '-o', file, file + '.c', '-lrt', '-pthread'], { stdio: 'pipe' });
  return file;
}

// The processes that wait for this name's users.
const reapersOf = (name) => fs.readdirSync('/proc').filter((pid) => {
  if (!/^\\d+$/.test(pid)) return false;
  try {
    return fs.readFileSync('/proc/' + pid + '/cmdline', 'latin1') === 'memmap-reaper\\0/dev/shm/' + name + '\\0';
  } catch {
    return false;
  }
}).map(Number);
`;

/** Runs a child that must reach its last line and end with exit code 0; gives what it printed. */
export const shares = (source: string, options: ChildOptions = {}): Promise<string> =>
  survives(`${kit}\n${source}\nfor (const child of started) child.kill('SIGKILL');`, options);

/** Why there is no C to compile here, if there is none. */
export function hasCompiler(): boolean {
  return ['/usr/bin/cc', '/usr/local/bin/cc'].some((path) => existsSync(path));
}
