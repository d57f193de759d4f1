// A small run of `npm run soak:shared`, and the same with what does not keep its promise. A failure shows its seed; run it again with
// `npm run soak:shared -- --only <part> --seed <seed>`.
import { itLong } from '../helpers/amount';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const program = join(__dirname, '..', '..', 'scripts', 'soak-shared.mjs');

interface End {
  code: unknown;
  stdout: string;
  stderr: string;
}

const run = (args: readonly string[]): Promise<End> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args],
      { timeout: 250_000 },
      (error, stdout, stderr) => {
        resolve({ code: error?.code ?? error?.signal ?? 0, stdout, stderr });
      },
    );
  });

afterEach(() => {
  expect(readdirSync('/dev/shm').filter((name) => name.startsWith('memmap-soak-'))).toEqual([]);
});

const SAYS: Record<string, RegExp> = {
  mutex: /^ok mutex: [1-9]\d* killed, [1-9]\d* of them owners; counted to [1-9]\d* /,
  semaphore: /^ok semaphore: 4 killed; [1-9]\d{3,} times it was right /,
  rwlock: /^ok rwlock: 4 killed; [1-9]\d{3,} times it was right /,
  channel:
    /^ok channel: peek: 5 killed, [1-9]\d* sent, .*; receive: 5 killed, [1-9]\d* sent, [1-9]\d* received, /,
  latest: /^ok latest: 4 killed; [1-9]\d{3,} times it was right /,
  creators: /^ok creators: 10 rounds, \d+ killed, [1-9]\d* winners, /,
  objects: /^ok objects: 20 objects at once, 1 killed /,
};

const FEW = ['--kills', '20', '--seconds', '60'];
const TIMEOUT = 260_000;

describe('memory shared by processes of which some are killed', () => {
  itLong(
    'does what it promises, in a small soak',
    async () => {
      const { code, stdout, stderr } = await run(FEW);
      const lines = stdout.trim().split('\n');
      expect({ code, stderr, stdout: code === 0 ? '' : stdout }).toEqual({
        code: 0,
        stderr: '',
        stdout: '',
      });
      expect(lines.map((line) => line.split(/[ :]/)[1])).toEqual(Object.keys(SAYS));
      for (const [index, says] of Object.values(SAYS).entries()) expect(lines[index]).toMatch(says);
    },
    TIMEOUT,
  );

  itLong(
    'does not when it is broken, and each part of the soak says so',
    async () => {
      const { code, stdout } = await run([...FEW, '--broken']);
      expect(code).toBe(1);
      expect(stdout.match(/^(?:ok|FAILED) \w+/gm)).toEqual(
        Object.keys(SAYS).map((part) => `FAILED ${part}`),
      );
      for (const what of [
        /^Error: two are inside: \d and \d$/m,
        /^Wrong \[Error\]: permit \d was given (twice|away)$/m,
        /^Wrong \[Error\]: (a reader found \d+ and \d+|it was written while a reader had it)$/m,
        /\d+ messages were received twice/,
        /^Wrong \[Error\]: (torn|torn later): -?\d+, -?\d+$|a value that was held has changed/m,
        /^Error: 2 of 2 made memmap-soak-\S+$/m,
        /^FAILED objects, seed \d+: left in \/dev\/shm: memmap-soak-\S+ /m,
      ]) {
        expect(stdout).toMatch(what);
      }
    },
    TIMEOUT,
  );
});
