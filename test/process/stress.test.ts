// Random calls in several threads against a model: see test/helpers/stress-life.js. A failure shows its seed; run it again with
// MEMMAP_STRESS_SEED=<seed>, and longer with MEMMAP_STRESS_LIVES and MEMMAP_STRESS_STEPS.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClean, runChild } from '../helpers/child';

const entry = join(__dirname, '..', '..', 'dist', 'index.js');
const program = join(__dirname, '..', 'helpers', 'stress-program.js');

const given = (name: string, otherwise: number): number => {
  const value = Number(process.env[`MEMMAP_STRESS_${name}`]);
  return Number.isInteger(value) && value > 0 ? value : otherwise;
};

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'memmap-'))));
afterEach(() => rmSync(folder, { recursive: true }));

async function stress(seed: number, execArgv: readonly string[]): Promise<void> {
  const plan = { entry, folder, seed, lives: given('LIVES', 12), steps: given('STEPS', 500) };
  const source = `await require(${JSON.stringify(program)}).main(${JSON.stringify(plan)});`;
  const result = await runChild(source, {
    execArgv: ['--expose-gc', ...execArgv],
    timeout: 120_000,
  });
  expectClean(result);
  expect(result.stdout).toBe(`seed ${String(seed)}\nall lives lived\n`);
}

describe('random calls in several threads do what the model says', () => {
  const random = given('SEED', 1 + Math.floor(Math.random() * 2 ** 31));

  test('of a seed that is always the same', () => stress(1, []), 150_000);

  test('of another seed each time', () => stress(random, []), 150_000);

  test(
    'with a collection every few hundred allocations',
    () => stress(random, ['--gc-interval=400']),
    150_000,
  );
});
