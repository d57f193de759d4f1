// Ten seconds of `npm run soak:faults`: 10,000 truncations and extensions against two reading threads.
// A failure shows its seed; run it again with `npm run soak:faults -- --seed <seed>`.
import { amount } from '../helpers/amount';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { patience } from '../helpers/patience';

const program = join(__dirname, '..', '..', 'scripts', 'soak-faults.mjs');

interface End {
  code: unknown;
  stdout: string;
  stderr: string;
}

const run = (args: readonly string[]): Promise<End> =>
  new Promise((resolve) => {
    const timeout = 100_000 * patience;
    execFile(process.execPath, [program, ...args], { timeout }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? error?.signal ?? 0, stdout, stderr }),
    );
  });

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'memmap-'))));
afterEach(() => rmSync(folder, { recursive: true }));

describe('a file that another process makes shorter and longer all the time', () => {
  test('never ends its readers, who see no byte but its own, in a short soak', async () => {
    const { code, stdout, stderr } = await run([
      '--seconds',
      String(amount(3, 10)),
      '--folder',
      folder,
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const found =
      /^ok, seed \d+: (\d+) truncations, (\d+) extensions; faults: (\d+) truncated; (.*)/;
    const [, truncations, extensions, faults, rest] = found.exec(stdout) ?? [stdout];
    expect(Number(truncations) + Number(extensions)).toBe(10_000);
    expect(Number(faults)).toBeGreaterThan(0);
    expect(rest).toMatch(/^repairs: [1-9]\d* succeeded, [1-9]\d* refused; /);
    expect(readdirSync(folder)).toEqual([]);
  }, 120_000);

  test('ends readers that are not guarded, and the soak says so', async () => {
    const { code, stdout, stderr } = await run([
      '--unguarded',
      '--seconds',
      '10',
      '--folder',
      folder,
    ]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^FAILED, seed \d+: /);
    expect(stderr).toMatch(/^seed \d+: Error: readers: ended with SIG(BUS|SEGV)\n/);
  }, 120_000);
});
