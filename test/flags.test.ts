import { ADVICE_WORDS, Flags, isDestructive } from '../lib/flags.js';
import { refused } from './helpers/refusals.js';

// A platform whose numbers are nobody's: whatever passes cannot have been hard-coded.
const flags = new Flags({ PROT_READ: 16, PROT_WRITE: 32, PROT_EXEC: 64, MADV_WILLNEED: 77 });

it('composes protections from the platform’s own bits', () => {
  const bits = flags.protectionWords.map((word) => [word, flags.protection(word)]);
  expect(Object.fromEntries(bits)).toEqual({
    none: 0,
    read: 16,
    write: 32,
    'read-write': 48,
    execute: 64,
    'read-execute': 80,
    'write-execute': 96,
    'read-write-execute': 112,
  });
});

it('finds the word of the bits again', () => {
  for (const word of flags.protectionWords) {
    expect(flags.protectionWord(flags.protection(word))).toBe(word);
  }
});

it('refuses what the platform does not have, by name', () => {
  const error = refused(() => flags.advice('cold'));
  expect(error.code).toBe('ERR_MEMMAP_UNSUPPORTED');
  expect(error.message).toContain('MADV_COLD');
  expect(refused(() => new Flags({})).message).toContain('PROT_READ');
});

it('gives the bit of an advice word', () => {
  expect(flags.advice('willneed')).toBe(77);
});

it('knows which advice throws contents away', () => {
  const destructive = ADVICE_WORDS.filter(isDestructive);
  expect(destructive.sort()).toEqual(['dontneed', 'free', 'wipeonfork']);
});
