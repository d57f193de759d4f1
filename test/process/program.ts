// What every child of these tests starts with, and how its end is judged: exit code 0, no signal, and the last line reached.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChildOptions, type ChildResult, expectClean, runChild } from '../helpers/child';

const entry = join(__dirname, '..', '..', 'dist', 'index.js');

/** In scope of a child: all of this, beside `memmap`. Plain JavaScript, for the Node that the child runs on. */
const prelude = (folder: string) => `
const assert = require('node:assert/strict');
const fs = require('node:fs');
const { once } = require('node:events');
const { join } = require('node:path');
const { setImmediate: turn } = require('node:timers/promises');
const { Worker } = require('node:worker_threads');
const PAGE = memmap.pageSize;
const entry = ${JSON.stringify(entry)};
const folder = ${JSON.stringify(folder)};

let files = 0;
// A file of the given contents, or of so many bytes 'a'.
function scratch(contents) {
  const path = join(folder, 'scratch-' + String(files++));
  fs.writeFileSync(path, typeof contents === 'number' ? Buffer.alloc(contents, 'a') : contents);
  return path;
}

// The kernel's list of this process's memory.
function regions() {
  const lines = fs.readFileSync('/proc/self/maps', 'latin1').trimEnd().split('\\n');
  return lines.map((line) => {
    const [, from, to, mode, inode, name] = /^(\\w+)-(\\w+) (\\S+) \\w+ \\S+ (\\d+) *(.*)$/.exec(line);
    const [start, end] = [BigInt('0x' + from), BigInt('0x' + to)];
    return { start, end, length: Number(end - start), mode, inode: Number(inode), name };
  });
}
const regionAt = (address) => regions().find(({ start, end }) => start <= address && address < end);
const showsFile = (path) => regions().some(({ name }) => name === path);

const isAll = (bytes, value) => Buffer.compare(bytes, Buffer.alloc(bytes.length, value)) === 0;

// A thread that runs the source; memmap, parentPort and workerData are in its scope.
function startWorker(source, workerData) {
  const head = 'const memmap = require(' + JSON.stringify(entry) + ');'
    + "const { parentPort, workerData } = require('node:worker_threads');";
  const worker = new Worker(head + '(async () => {' + source + '})();', { eval: true, workerData });
  // Watched from the start: a worker may end in the turn of its last message.
  worker.ended = once(worker, 'exit');
  return worker;
}

// Collects garbage until the condition holds; finalizers run between the turns. Needs --expose-gc.
async function collectUntil(condition, what) {
  for (let round = 0; round < 200; round++) {
    gc();
    await turn();
    if (condition()) return;
  }
  assert.fail('still not so after 200 collections: ' + what);
}
`;

const lastWords = '-- the last line was reached --';

/** Runs a child in a folder of its own, which is removed afterwards. */
export async function runProgram(source: string, options: ChildOptions = {}): Promise<ChildResult> {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-'));
  try {
    return await runChild(`${prelude(folder)}\n${source}`, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a child that must reach its last line and end with exit code 0; gives what it printed. */
export async function survives(source: string, options: ChildOptions = {}): Promise<string> {
  const result = await runProgram(`${source}\nconsole.log('${lastWords}');`, options);
  expectClean(result);
  // An await that nothing will ever settle ends a process with 0 as well.
  expect(result.stdout.trimEnd().split('\n').at(-1)).toBe(lastWords);
  return result.stdout.slice(0, result.stdout.lastIndexOf(lastWords));
}

export const withGc: ChildOptions = { execArgv: ['--expose-gc'] };

type Define = (name: string, body: () => Promise<unknown>, timeout?: number) => void;

/** `test`, or where the condition does not hold a skipped test that says why. */
export function testWhere(holds: boolean, reason: string): Define {
  if (holds) return test;
  return (name, body, timeout) => {
    process.stderr.write(`skipped: ${name}: ${reason}\n`);
    test.skip(name, body, timeout);
  };
}

export const canTransfer = 'transfer' in ArrayBuffer.prototype;
export const testTransfer = testWhere(
  canTransfer,
  `Node ${process.versions.node} has no ArrayBuffer.prototype.transfer`,
);
