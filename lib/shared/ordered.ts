// Reads and writes of words that others read and write, where only their order counts.

/** x86 keeps reads in order and writes in order, and lets no write pass an earlier read. */
const IS_ORDERED = process.arch === 'x64';

/**
 * What is read afterwards is at least as new as this word. Not for a loop that reads nothing else: the compiler may take a plain
 * read out of it.
 */
export const acquire: (words: Int32Array, index: number) => number = IS_ORDERED
  ? (words, index) => words[index] ?? 0
  : (words, index) => Atomics.load(words, index);

/** Who sees this word sees all that was written before it, and what was read before it was read. Later reads may pass it. */
export const release: (words: Int32Array, index: number, value: number) => void = IS_ORDERED
  ? (words, index, value) => {
      words[index] = value;
    }
  : (words, index, value) => {
      Atomics.store(words, index, value);
    };
