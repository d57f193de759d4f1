// Memory that counts how often it is touched, and stops at a touch: there somebody is killed, or another gets a turn. Real atomics do
// not take a Proxy, so that Atomics itself is replaced while a test runs; one thread at a time needs none.

/** Thrown where a peer is killed; nothing of ours catches it. */
export class Killed extends Error {}

export class Stepped {
  readonly words: Int32Array;
  #left = Infinity;
  #act: (() => void) | undefined;

  constructor(words: Int32Array) {
    const touch = (): void => {
      if (--this.#left >= 0) return;
      const act = this.#act;
      this.#left = Infinity;
      this.#act = undefined;
      act?.();
    };
    this.words = new Proxy(words, {
      get(target, name): unknown {
        touch();
        return Reflect.get(target, name, target);
      },
      set(target, name, value): boolean {
        touch();
        return Reflect.set(target, name, value, target);
      },
    });
  }

  /** Calls `act` before the touch that follows `after` more of them. */
  at(after: number, act: () => void): void {
    this.#left = after;
    this.#act = act;
  }

  /** Whether the touch has not come. False: it has, or none was asked for. */
  cancel(): boolean {
    const waiting = this.#act !== undefined;
    this.#left = Infinity;
    this.#act = undefined;
    return waiting;
  }
}

type Words = Record<number, number>;

const change = (words: Words, index: number, next: (old: number) => number): number => {
  const old = words[index] ?? 0;
  words[index] = next(old);
  return old;
};

const plain = {
  load: (words: Words, index: number) => words[index],
  store: (words: Words, index: number, value: number) => (words[index] = value),
  add: (words: Words, index: number, value: number) => change(words, index, (old) => old + value),
  exchange: (words: Words, index: number, value: number) => change(words, index, () => value),
  compareExchange: (words: Words, index: number, expected: number, value: number) => {
    const old = words[index] ?? 0;
    if (old === expected) words[index] = value;
    return old;
  },
};

/** Runs `body` with atomics that take a Proxy. */
export function withPlainAtomics(body: () => void): void {
  const real = globalThis.Atomics;
  Object.defineProperty(globalThis, 'Atomics', {
    value: plain,
    configurable: true,
    writable: true,
  });
  try {
    body();
  } finally {
    Object.defineProperty(globalThis, 'Atomics', {
      value: real,
      configurable: true,
      writable: true,
    });
  }
}
