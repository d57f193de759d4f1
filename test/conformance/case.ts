// What a conformance case is. One file per suite in suites/ exports its cases, what waits for a
// later capability, and what cannot be expressed, each by id; run.ts checks that no id is missing.
import type * as memmap from 'memmap';

/** What a case may use: the package, scratch files and a child. */
export interface Tools {
  readonly memmap: typeof memmap;
  /** A fresh path in a folder on ext4 (or what the machine has) that is removed afterwards. */
  scratch(name?: string): string;
  /** The same on tmpfs. */
  shm(name?: string): string;
  /** A new file with these contents; gives its path. */
  file(contents: Uint8Array | string): string;
  /** Runs a body of JavaScript in a child with `memmap`, `fs` in scope; resolves with its end. */
  child(
    source: string,
    options?: { execArgv?: readonly string[]; shell?: string; uid?: number },
  ): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>;
  /** Runs `call` and gives the error it throws; fails the case when it throws none. */
  refused(call: () => unknown): {
    code?: string;
    syscall?: string;
    errno?: number;
    message: string;
  };
  /** The lines of /proc/self/smaps for the region that holds an address. */
  smaps(address: bigint): Record<string, string>;
}

export interface Case {
  readonly id: string;
  readonly run: (tools: Tools) => void | Promise<void>;
}

export interface Suite {
  readonly cases: readonly Case[];
  /** id -> what it waits for, such as 'memfd seals' or 'the fault guard'. */
  readonly waiting: Readonly<Record<string, string>>;
  /** id -> why these calls cannot express it, or why memmap does something else on purpose. */
  readonly inexpressible: Readonly<Record<string, string>>;
}
