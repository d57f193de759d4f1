// Words to bits and back. The only place where protection, sharing and advice bits are composed.
import { misuse } from './errors.js';

/** How a mapping is accessed. */
export type Access = 'read' | 'read-write' | 'copy-on-write' | 'snapshot';

/** What the pages allow. 'mixed' when parts of a mapping differ. */
export type Protection =
  | 'none'
  | 'read'
  | 'write'
  | 'read-write'
  | 'execute'
  | 'read-execute'
  | 'write-execute'
  | 'read-write-execute';

export const ADVICE_WORDS = [
  'normal',
  'random',
  'sequential',
  'willneed',
  'dontneed',
  'free',
  'cold',
  'pageout',
  'hugepage',
  'nohugepage',
  'collapse',
  'mergeable',
  'unmergeable',
  'dontdump',
  'dodump',
  'dontfork',
  'dofork',
  'wipeonfork',
  'keeponfork',
] as const;

/** Advice for `advise`, by the names of madvise(2) in lower case. */
export type Advice = (typeof ADVICE_WORDS)[number];

/** The platform's constants, by name. */
export type ConstantTable = Readonly<Record<string, number>>;

export const ACCESS_WORDS: readonly Access[] = ['read', 'read-write', 'copy-on-write', 'snapshot'];

/** Advice that throws contents away, and therefore rounds inward. */
const DESTRUCTIVE: ReadonlySet<string> = new Set(['dontneed', 'free', 'wipeonfork']);

export const isDestructive = (advice: Advice): boolean => DESTRUCTIVE.has(advice);

/** A platform's numbers, asked by name; what it does not have is ERR_MEMMAP_UNSUPPORTED. */
export class Flags {
  readonly #table: ConstantTable;
  readonly read: number;
  readonly write: number;
  readonly execute: number;
  readonly #protections: ReadonlyMap<string, number>;

  constructor(table: ConstantTable) {
    this.#table = table;
    this.read = this.bit('PROT_READ');
    this.write = this.bit('PROT_WRITE');
    this.execute = this.bit('PROT_EXEC');
    const { read, write, execute } = this;
    this.#protections = new Map([
      ['none', 0],
      ['read', read],
      ['write', write],
      ['read-write', read | write],
      ['execute', execute],
      ['read-execute', read | execute],
      ['write-execute', write | execute],
      ['read-write-execute', read | write | execute],
    ]);
  }

  bit(name: string): number {
    const value = this.#table[name];
    if (value === undefined) throw misuse('UNSUPPORTED', `this platform has no ${name}`);
    return value;
  }

  get protectionWords(): readonly string[] {
    return [...this.#protections.keys()];
  }

  /** The bits of a protection word; an access word means what it needs. */
  protection(word: string): number {
    const bits = this.#protections.get(word);
    if (bits !== undefined) return bits;
    return this.read | this.write;
  }

  protectionWord(bits: number): Protection {
    for (const [word, value] of this.#protections) if (value === bits) return word as Protection;
    return 'none';
  }

  advice(word: Advice): number {
    return this.bit(`MADV_${word.toUpperCase()}`);
  }
}
