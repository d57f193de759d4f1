// What the kernel's names say about a region. Pure: from strings to kinds.
import type { OwnerKind } from './owner-draft.js';

export interface NameFacts {
  /** Some region of that name can be executed. */
  readonly hasCode: boolean;
  readonly isProgram: boolean;
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
  [/^\/anon_hugepage/, 'anonymous'],
  [/^anon_inode:/, 'kernel'],
  [/^\[/, 'kernel'],
  [/^\/(memfd:|SYSV|dev\/shm\/|dev\/zero \(deleted\)|drm mm object|i915)/, 'shared-memory'],
];

const LIBRARY = /\.(so(\.[\d.]+)?|node|dylib)( \(deleted\))?$/;

/** What has that name. */
export function kindOfName(name: string, { hasCode, isProgram }: NameFacts): OwnerKind {
  const known = TAGS[name] ?? NAMED.find(([pattern]) => pattern.test(name))?.[1];
  if (known !== undefined) return known;
  if (isProgram) return 'executable';
  return hasCode || LIBRARY.test(name) ? 'library' : 'file';
}

/** Programs that have V8 inside, by the names of their files. */
const WITH_V8 =
  /\/(node(js)?|electron|chrome|chromium|deno|code|workerd|d8)[-_.\d]*( \(deleted\))?$/i;

/** One of a process's files says that V8 is in it. */
export const hasV8 = (program: string | undefined, names: readonly string[]): boolean =>
  (program !== undefined && WITH_V8.test(program)) ||
  names.some((name) => /\/lib(node|v8)[^/]*\.(so|dylib)/.test(name));

/** The last part of a name, as people call it. */
export function shortName(name: string): string {
  const bare = name.replace(/ \(deleted\)$/, '');
  const tag = /^\[(.*)\]$/.exec(bare)?.[1];
  if (tag !== undefined) return tag.replace(/^anon(_shmem)?: ?/, '');
  if (bare.startsWith('anon_inode:')) return bare.slice('anon_inode:'.length).replace(/[[\]]/g, '');
  return bare.slice(bare.lastIndexOf('/') + 1);
}
