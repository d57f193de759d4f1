// What a case gets: scratch files, children, and the kernel's books. A fresh one for each case.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as memmap from 'memmap';
import type { Case, Tools } from './case.js';

type ChildOptions = NonNullable<Parameters<Tools['child']>[1]>;
type ChildEnd = Awaited<ReturnType<Tools['child']>>;
export type Mapping = memmap.Mapping;
type Refusal = ReturnType<Tools['refused']>;

/** From .build/test/conformance. */
export const root = join(__dirname, '..', '..', '..');

/** The package as it is published: what dist/ and the addon are. */
export { memmap };
export const { sys, pageSize } = memmap;

/** A constant of the platform by name; one that is missing fails the case that asks for it. */
export const constants: ConstantNames = new Proxy(memmap.constants, {
  get(table, name) {
    const value = table[String(name)];
    assert.ok(value !== undefined, `this platform has no ${String(name)}`);
    return value;
  },
});

type Name =
  | `PROT_${'NONE' | 'READ' | 'WRITE' | 'EXEC' | 'SEM' | 'GROWSDOWN' | 'GROWSUP'}`
  | `MAP_${'SHARED' | 'PRIVATE' | 'SHARED_VALIDATE' | 'TYPE' | 'FIXED' | 'FIXED_NOREPLACE'}`
  | `MAP_${'ANON' | 'ANONYMOUS' | '32BIT' | 'GROWSDOWN' | 'HUGETLB' | 'LOCKED' | 'NORESERVE'}`
  | `MAP_${'POPULATE' | 'NONBLOCK' | 'STACK' | 'SYNC' | 'FILE' | 'DENYWRITE'}`
  | `MS_${'ASYNC' | 'SYNC' | 'INVALIDATE'}`
  | `MADV_${'NORMAL' | 'RANDOM' | 'SEQUENTIAL' | 'WILLNEED' | 'DONTNEED' | 'FREE' | 'REMOVE'}`
  | `MADV_${'DONTFORK' | 'DOFORK' | 'MERGEABLE' | 'UNMERGEABLE' | 'HUGEPAGE' | 'NOHUGEPAGE'}`
  | `MADV_${'DONTDUMP' | 'DODUMP' | 'WIPEONFORK' | 'KEEPONFORK' | 'COLD' | 'PAGEOUT'}`
  | `MADV_${'POPULATE_READ' | 'POPULATE_WRITE' | 'COLLAPSE' | 'GUARD_INSTALL' | 'GUARD_REMOVE'}`
  | `MREMAP_${'MAYMOVE' | 'FIXED' | 'DONTUNMAP'}`;
type ConstantNames = Readonly<Record<Name, number>>;

/** PROT_READ | PROT_WRITE. */
export const readWrite = constants.PROT_READ | constants.PROT_WRITE;

const CHILD_MS = 120_000;

/** `memmap`, `fs`, `sys` and `constants` (as `c`) are in scope, and `page`. */
const programOf = (source: string): string => `
const memmap = require(${JSON.stringify(join(root, 'dist', 'index.js'))});
const fs = require('node:fs');
const { sys, constants: c, pageSize: page } = memmap;
(async () => {
${source}
})();
`;

function child(source: string, options: ChildOptions = {}): Promise<ChildEnd> {
  const { execArgv = [], shell = ':', uid } = options;
  const command = [process.execPath, ...execArgv, '-e', programOf(source)];
  const started = spawn('/bin/sh', ['-c', `${shell}; exec "$0" "$@"`, ...command], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  started.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  started.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const timer = setTimeout(() => started.kill('SIGKILL'), CHILD_MS);
  return new Promise((resolve, reject) => {
    started.on('error', reject);
    started.on('close', (code, signal) => {
      clearTimeout(timer);
      const [stdout, stderr] = [out, err].map((chunks) => Buffer.concat(chunks).toString());
      resolve({ code, signal, stdout: stdout ?? '', stderr: stderr ?? '' });
    });
  });
}

function refused(call: () => unknown): Refusal {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof Error, 'what was thrown is not an Error');
    return error;
  }
  assert.fail('the call succeeded');
}

const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) (\d+) *(.*)$/;

/**
 * The fields of /proc/self/smaps for the region that holds an address, such as `Rss: '4 kB'` and
 * `VmFlags`, and those of its first line: start, end, perms, offset, device, inode, path. Empty
 * when nothing is mapped there.
 */
function smaps(address: bigint): Record<string, string> {
  const fields: Record<string, string> = {};
  let inside = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const header = HEADER.exec(line);
    if (header !== null) {
      if (inside) break;
      const [, start = '', end = '', perms = '', offset = '', device = '', inode = '', path = ''] =
        header;
      inside = BigInt(`0x${start}`) <= address && address < BigInt(`0x${end}`);
      if (inside) Object.assign(fields, { start, end, perms, offset, device, inode, path });
    } else if (inside) {
      const colon = line.indexOf(':');
      fields[line.slice(0, colon)] = line.slice(colon + 1).trim();
    }
  }
  return fields;
}

/** Tools with folders of their own; `close` removes them. */
export function openTools(): Tools & { close(): void } {
  const folders = new Map<string, string>();
  let files = 0;
  const pathIn = (parent: string, name: string | undefined): string => {
    let folder = folders.get(parent);
    if (folder === undefined) {
      mkdirSync(parent, { recursive: true });
      folder = mkdtempSync(join(parent, 'memmap-'));
      // A child may be another user.
      chmodSync(folder, 0o755);
      folders.set(parent, folder);
    }
    return join(folder, name ?? `file-${String(++files)}`);
  };
  // Beside the compiled cases: a disk, where /tmp often is not one.
  const scratch = (name?: string): string => pathIn(join(root, '.build', 'scratch'), name);
  return {
    memmap,
    scratch,
    shm: (name) => pathIn('/dev/shm', name),
    file(contents) {
      const path = scratch();
      writeFileSync(path, contents);
      return path;
    },
    child,
    refused,
    smaps,
    close() {
      for (const folder of folders.values()) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Asserts that the call is refused with exactly this code, and by this system call if it is one. */
export function mustRefuse(call: () => unknown, code: string, syscall?: string): Refusal {
  const error = refused(call);
  assert.deepEqual([error.code, error.syscall], [code, syscall], error.message);
  return error;
}

/** What is known of a fault. */
interface Fault {
  readonly kind: memmap.FaultKind;
  readonly signal: 'SIGBUS' | 'SIGSEGV';
  readonly offset: number;
}

/**
 * Asserts that a touch of the memory, through a Buffer, ends in an error where a program in C gets a
 * signal: thrown by guarded(), and in the mapping's list. Gives what the touch gave.
 */
export function mustFault(
  mapping: Mapping,
  touch: (bytes: Buffer) => unknown,
  { kind, signal, offset }: Fault,
): unknown {
  const { buffer } = mapping;
  let seen: unknown;
  const call = () => mapping.guarded(() => (seen = touch(buffer)));
  const error = mustRefuse(call, 'ERR_MEMMAP_FAULT', 'page_fault');
  assert.ok(error instanceof memmap.FaultError);
  const found = { kind: error.kind, signal: error.signal, offset: error.offset };
  assert.deepEqual(found, { kind, signal, offset });
  const records = mapping.faults.map((fault) => [fault.kind, fault.signal, fault.offset]);
  assert.deepEqual(records.at(-1), [kind, signal, offset]);
  return seen;
}

/** What a mapping holds: a copy, so that no view is handed out. */
export const textOf = (mapping: Mapping, offset = 0, length = mapping.length - offset): string =>
  mapping.read(offset, length).toString('latin1');

/** A size of smaps or /proc/self/status, `'4 kB'`, in bytes. */
export const kibibytes = (field: string | undefined): number =>
  Number(/^(\d+) kB$/.exec(field ?? '')?.[1] ?? NaN) * 1024;

/** Cases by id. */
export const casesOf = (runs: Readonly<Record<string, Case['run']>>): Case[] =>
  Object.entries(runs).map(([id, run]) => ({ id, run }));

/** One reason for many ids. */
export const because = (reason: string, ...ids: readonly string[]): Record<string, string> =>
  Object.fromEntries(ids.map((id) => [id, reason]));

/** An open descriptor that `using` closes. */
export interface Opened {
  readonly fd: number;
  [Symbol.dispose](): void;
}

/** open(2), for C tests that keep a descriptor. */
export function opened(path: string, flags: string | number = 'r+', mode = 0o644): Opened {
  const fd = openSync(path, flags, mode);
  return {
    fd,
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

/** mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | extra, -1, 0). */
export function anonymous(length: number, protection = readWrite, extra = 0): Mapping {
  const { MAP_PRIVATE, MAP_ANONYMOUS } = constants;
  return sys.mmap(0, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | extra, -1, 0);
}

/** `pages` anonymous pages with unmapped ones at `holes`: the parts go with the Mapping. */
export function withHoles(pages: number, ...holes: readonly number[]): Mapping {
  const whole = anonymous(pages * pageSize);
  for (const hole of holes) {
    const address = whole.address + BigInt(hole * pageSize);
    sys.munmap(address, pageSize, { replace: memmap.registry.overlapping(address, pageSize) });
  }
  return whole;
}

/** An address where nothing was mapped a moment ago. */
export function freeAddress(length = pageSize): bigint {
  using gone = anonymous(length);
  return gone.address;
}

/** Options of a child that is nobody: root may do what these limits forbid. */
export const nobody: ChildOptions = process.getuid?.() === 0 ? { uid: 65534 } : {};
