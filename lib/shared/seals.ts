// What memory without a name can be sealed against. Knows the numbers of fcntl(2).
import { check, codeOf, native } from '../binding.js';
import { word, wrongKind } from '../validate.js';
import type { Descriptor } from './descriptor.js';

/** What can no longer be done to shared memory, by anybody who has it. */
export type Seal = 'seal' | 'shrink' | 'grow' | 'write' | 'future-write' | 'exec';

export const SEALS: Readonly<Record<Seal, number>> = {
  seal: 1,
  shrink: 2,
  grow: 4,
  write: 8,
  'future-write': 16,
  exec: 32,
};

const WORDS = Object.keys(SEALS) as Seal[];

export const sealsOf = (file: Descriptor): Seal[] => {
  const bits = check(native.seals(file.fd), { path: file.name });
  return WORDS.filter((each) => (bits & SEALS[each]) !== 0);
};

const HINTS: Readonly<Record<string, string>> = {
  EBUSY: "it is mapped for writing: unmap that, or seal it against 'future-write'",
  EINVAL: 'a kernel before 5.1 has no such seal',
  EPERM: 'only memory made by create(null), open for writing and not sealed against more seals',
};

/** All of them, or none. */
export function addSeals(file: Descriptor, words: readonly unknown[]): void {
  if (words.length === 0) throw wrongKind('seals', 'one or more words', undefined);
  let bits = 0;
  for (const each of words) bits |= SEALS[word('seals', each, WORDS)];
  const answer = native.addSeals(file.fd, bits);
  const code = codeOf(answer);
  check(answer, { path: file.name, hint: code === undefined ? undefined : HINTS[code] });
}
