// What the page says about each kind of owner, and its colour. One hue for each family, told apart by people who see
// fewer colours (the hues of Okabe and Ito); members of a family differ in lightness, and have a band of their own.

import type { OwnerKind } from '../lib/cli/data.js';

export interface OwnerInfo {
  title: string;
  /** What it is, in one or two short sentences. */
  says: string;
  light: string;
  dark: string;
}

export const OWNERS: Readonly<Record<OwnerKind, OwnerInfo>> = {
  mapping: {
    title: 'memmap mappings',
    says: 'What this program mapped through memmap: files and memory behind its Buffers.',
    light: '#0072b2',
    dark: '#3d9fe0',
  },
  reservation: {
    title: 'memmap reservations',
    says: 'Addresses that memmap keeps for later. Nobody else gets them; they cost no memory yet.',
    light: '#5b8fc9',
    dark: '#7fb2ea',
  },
  retired: {
    title: 'Retired by memmap',
    says: 'Unmapped already, but kept as zero pages for a short while: somebody may still be reading.',
    light: '#274b7a',
    dark: '#5473a8',
  },
  'v8-heap': {
    title: 'V8 heap',
    says: 'JavaScript objects. V8 takes it in small pieces and puts them at random addresses.',
    light: '#c85000',
    dark: '#f08040',
  },
  'v8-code': {
    title: 'V8 code',
    says: 'Machine code that V8 compiled. V8 keeps the whole range near Node’s own code; it is not free.',
    light: '#a8440a',
    dark: '#c9622c',
  },
  'v8-cage': {
    title: 'V8 cage',
    says: 'V8 keeps this reserved for its heap; it is not free, and almost none of it is used.',
    light: '#e8945a',
    dark: '#f5b384',
  },
  wasm: {
    title: 'WebAssembly',
    says: 'Memory of WebAssembly, with gigabytes of guard behind it so that no index can leave it.',
    light: '#b07d2b',
    dark: '#d9a855',
  },
  executable: {
    title: 'Program',
    says: 'The program itself, from its file. Pages are read when they are first needed.',
    light: '#009e73',
    dark: '#2fc597',
  },
  library: {
    title: 'Libraries',
    says: 'Shared libraries and addons, from their files. Other processes share these pages.',
    light: '#4fb286',
    dark: '#7fdcb4',
  },
  file: {
    title: 'Other files',
    says: 'Files that somebody mapped, but not through memmap.',
    light: '#006b52',
    dark: '#15977a',
  },
  'shared-memory': {
    title: 'Shared memory',
    says: 'Memory that other processes may see, too: a write here is seen there.',
    light: '#2b9fb8',
    dark: '#56c8e0',
  },
  stack: {
    title: 'Stack',
    says: 'The stack of the main thread. It grows downwards.',
    light: '#b3478c',
    dark: '#dd78b7',
  },
  'thread-stack': {
    title: 'Thread stacks',
    says: 'One for each thread. Mostly untouched: only the deepest calls bring pages in.',
    light: '#cc79a7',
    dark: '#f2b3d8',
  },
  'libc-heap': {
    title: 'C heap',
    says: 'What malloc gives out from the main heap, [heap].',
    light: '#bfa300',
    dark: '#e3cb3c',
  },
  'libc-arena': {
    title: 'Malloc arenas',
    says: 'malloc’s memory for threads: 64 MiB of addresses each, of which little is used.',
    light: '#d8c150',
    dark: '#f2e27a',
  },
  kernel: {
    title: 'Kernel pages',
    says: 'Pages that the kernel shows every process: the clock (vdso, vvar).',
    light: '#9aa1ad',
    dark: '#5f6979',
  },
  guard: {
    title: 'Guard pages',
    says: 'Never accessible, on purpose: who runs off the end of a stack stops here.',
    light: '#7c5a78',
    dark: '#a985a5',
  },
  anonymous: {
    title: 'Other memory',
    says: 'Memory that belongs to no file, and of which memmap cannot tell whose it is.',
    light: '#6b717c',
    dark: '#848c99',
  },
};

/** The order of the bands: what is yours first. */
export const KINDS = Object.keys(OWNERS) as OwnerKind[];

const ACCESS: Readonly<Record<string, string>> = {
  '---': 'no access at all: the addresses are taken, no memory is behind them',
  'r--': 'read only',
  'rw-': 'read and write',
  'r-x': 'read and run as code',
  '--x': 'run as code only',
  rwx: 'read, write and run as code',
  '-w-': 'write only',
  '-wx': 'write and run as code',
};

export const accessWords = (protection: string): string => ACCESS[protection] ?? protection;

/** Whether anybody can use it at all. */
export const isAccessible = (protection: string): boolean => protection !== '---';
