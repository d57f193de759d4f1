// What the kernel's names say about a region. Pure: from strings to kinds.
import type { OwnerKind } from './owner-draft.js';

export interface NameFacts {
  /** Some region of that name can be executed. */
  readonly hasCode: boolean;
  readonly isProgram: boolean;
  /** No disk holds it: what the kernel makes for itself, but also tmpfs, overlayfs and the like. */
  readonly isDiskless: boolean;
}

const TAGS: Readonly<Record<string, OwnerKind>> = {
  '[stack]': 'stack',
  '[heap]': 'libc-heap',
};

// prctl(PR_SET_VMA_ANON_NAME): glibc (glibc.mem.decorate_maps=1) and V8 name what they map.
const NAMED: readonly (readonly [RegExp, OwnerKind])[] = [
  [/^\[stack:\d+\]$/, 'thread-stack'],
  [/^\[anon: ?glibc: pthread stack/, 'thread-stack'],
  [/^\[anon: ?glibc: malloc arena/, 'libc-arena'],
  [/^\[anon: ?glibc: /, 'libc-heap'],
  [/^\[anon:(v8|V8)/, 'v8-heap'],
  [/^\[anon_shmem:/, 'shared-memory'],
  [/^\[anon:/, 'anonymous'],
  [/^anon_inode:/, 'kernel'],
  [/^\[/, 'kernel'],
];

// Files that the kernel makes for memory look like deleted ones of the root folder.
const DISKLESS: readonly (readonly [RegExp, OwnerKind])[] = [
  [/^\/dev\/shm\//, 'shared-memory'],
  [/^\/anon_hugepage \(deleted\)$/, 'anonymous'],
  [/^\/(memfd:.*|SYSV[\da-f]{8}|dev\/zero|drm mm object|i915) \(deleted\)$/s, 'shared-memory'],
];

/** What has that name. */
export function kindOfName(name: string, facts: NameFacts): OwnerKind {
  const { hasCode, isProgram, isDiskless } = facts;
  const patterns = isDiskless ? [...NAMED, ...DISKLESS] : NAMED;
  const known = TAGS[name] ?? patterns.find(([pattern]) => pattern.test(name))?.[1];
  if (known !== undefined) return known;
  if (isProgram) return 'executable';
  return hasCode ? 'library' : 'file';
}

/** Programs that have V8 inside, by the names of their files. */
const WITH_V8 =
  /\/(node(js)?|electron|chrome|chromium|deno|code|workerd|d8)[-_.\d]*( \(deleted\))?$/i;

/** A library that has V8 inside. */
export const isV8Library = (name: string): boolean => /\/lib(node|v8)[^/]*\.(so|dylib)/.test(name);

/** One of a process's files says that V8 is in it. */
export const hasV8 = (program: string | undefined, names: readonly string[]): boolean =>
  (program !== undefined && WITH_V8.test(program)) || names.some(isV8Library);

/** The last part of a name, as people call it. */
export function shortName(name: string): string {
  const bare = name.replace(/ \(deleted\)$/, '');
  const tag = /^\[(.*)\]$/.exec(bare)?.[1];
  if (tag !== undefined) return tag.replace(/^anon(_shmem)?: ?/, '');
  if (bare.startsWith('anon_inode:')) return bare.slice('anon_inode:'.length).replace(/[[\]]/g, '');
  return bare.slice(bare.lastIndexOf('/') + 1);
}
