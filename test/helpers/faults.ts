// What children that fault have in scope, beside the prelude of test/process/program.ts, and how their end is judged.

import { type ChildOptions, type ChildResult } from './child';
import { runProgram, survives } from '../process/program';

/** Plain JavaScript, for the Node that the child runs on. The scratch files hold bytes 'a' (97). */
const kit = `
const { execFileSync, spawn } = require('node:child_process');

// Another program makes the file so long.
const truncate = (path, length) => execFileSync('truncate', ['-s', String(length), path]);
// The same while this thread goes on.
const truncateSoon = (path, length) => spawn('truncate', ['-s', String(length), path]);
const anotherWrites = (path, offset, text) => execFileSync('dd',
  ['of=' + path, 'bs=1', 'seek=' + String(offset), 'conv=notrunc'], { input: text, stdio: 'pipe' });

// What the bytes of a file of 'a' look like to a mapping of so many bytes once the file was cut.
function cutBytes(kept, length, value = 97) {
  const bytes = Buffer.alloc(length);
  bytes.fill(value, 0, kept);
  return bytes;
}

// The errors that 'fault' brings, in order.
function listen(mapping) {
  const errors = [];
  mapping.on('fault', (...given) => {
    assert.equal(given.length, 1);
    errors.push(given[0]);
  });
  return errors;
}

const FIELDS = ['offset', 'fileOffset', 'length', 'address', 'thread', 'time', 'count', 'signal'];

// The error is that of the record, in Node's own words too.
function assertFaultError(error, fault, mapping) {
  assert.ok(error instanceof memmap.FaultError, String(error));
  assert.ok(error instanceof memmap.MapError);
  assert.equal(error.code, 'ERR_MEMMAP_FAULT');
  assert.equal(error.errno, -14);
  assert.equal(error.syscall, 'page_fault');
  assert.equal(error.kind, 'truncated');
  assert.equal(error.mapping, mapping);
  assert.equal(error.path, mapping.path);
  assert.match(error.message, /^ERR_MEMMAP_FAULT: the file is shorter than the mapping/);
  for (const field of FIELDS) assert.equal(error[field], fault[field], field);
}

// Each record was told once, in order, and nothing else was.
async function assertTold(errors, faults, mapping) {
  await turn();
  assert.equal(errors.length, faults.length);
  errors.forEach((error, i) => assertFaultError(error, faults[i], mapping));
}

// The records: all of the kind truncated, each right in itself, and together every byte of [from, to) once.
function assertLost(mapping, from, to, thread = process.pid) {
  const { faults } = mapping;
  for (const fault of faults) {
    assert.equal(fault.kind, 'truncated');
    assert.equal(fault.signal, 'SIGBUS');
    assert.equal(fault.address, mapping.address + BigInt(fault.offset));
    assert.equal(fault.fileOffset, mapping.fileOffset + BigInt(fault.offset));
    if (thread !== 'any') assert.equal(fault.thread, thread);
    assert.ok(Math.abs(Date.now() - fault.time) < 3_600_000, 'a time of this hour');
    const first = mapping.address + BigInt(fault.offset);
    const pages = (first + BigInt(fault.length + PAGE - 1)) / BigInt(PAGE) - first / BigInt(PAGE);
    assert.equal(fault.count, Number(pages));
  }
  const inOrder = [...faults].sort((a, b) => a.offset - b.offset);
  let at = from;
  for (const { offset, length } of inOrder) {
    assert.equal(offset, at, 'no gap, nothing twice');
    at += length;
  }
  assert.equal(at, to);
  return faults;
}

const isFault = (mapping) => (error) => {
  assert.ok(error instanceof memmap.FaultError, String(error));
  assert.equal(error.code, 'ERR_MEMMAP_FAULT');
  assert.equal(error.syscall, 'page_fault');
  assert.equal(error.kind, 'truncated');
  assert.equal(error.errno, -14);
  assert.equal(error.path, mapping.path);
  return true;
};
`;

/** Plain JavaScript: eight pages mapped, two left in the file; the lost ones hold their number at byte 10. */
export const damaged = `
const path = scratch(8 * PAGE);
const m = memmap.mapFileSync(path, { access: 'read-write' });
const errors = listen(m);
const b = m.buffer;
truncate(path, 2 * PAGE);
for (let page = 2; page < 8; page++) b[page * PAGE + 10] = page;
const same = cutBytes(2 * PAGE, 8 * PAGE);
for (let page = 2; page < 8; page++) same[page * PAGE + 10] = page;
assertLost(m, 2 * PAGE, 8 * PAGE);
const at = (page) => (error) => isFault(m)(error) && error.offset === page * PAGE
  && error.fileOffset === BigInt(page * PAGE) && error.address === m.address + BigInt(page * PAGE);
const intact = () => {
  assert.equal(m.state, 'mapped');
  assert.equal(b.equals(same), true);
  assertLost(m, 2 * PAGE, 8 * PAGE);
  assert.deepEqual(memmap.registry.verify(), []);
};
`;

/** Runs a child with the kit that must reach its last line and end with exit code 0. */
export const faultsSurvived = (source: string, options?: ChildOptions): Promise<string> =>
  survives(`${kit}\n${source}`, options);

/** Runs a child with the kit, whatever its end. */
export const runFaulting = (source: string, options?: ChildOptions): Promise<ChildResult> =>
  runProgram(`${kit}\n${source}`, options);

/** Killed by the signal, as every program is that has no handler for it. */
export function expectKilled({ code, signal, stdout, stderr }: ChildResult, by: string): void {
  expect({ code, signal, said: stdout, stderr }).toMatchObject({ code: null, signal: by });
}
