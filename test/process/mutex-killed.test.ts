// Owners of a mutex that are killed, in any place and number: it is never lost, and never given twice.
import { amount } from '../helpers/amount';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Scratch } from '../helpers/files';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const root = join(__dirname, '..', '..');
const KILLS = Number(process.env['MEMMAP_TEST_KILLS'] ?? amount(25, 100));

interface Counted {
  readonly counter: number;
  readonly completed: number;
  readonly deaths: number;
  readonly kills: number;
}

test(`four processes count under it, and ${String(KILLS)} are killed`, async () => {
  const options = {
    entry: join(root, 'dist', 'index.js'),
    path: scratch.path(),
    kills: KILLS,
  };
  const program = `
    const { killOwners } = await import(${JSON.stringify(join(root, 'test', 'helpers', 'kill-owners.mjs'))});
    console.log(JSON.stringify(await killOwners(${JSON.stringify(options)})));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    program,
  ]);
  const { counter, completed, deaths, kills } = JSON.parse(stdout) as Counted;
  expect(counter).toBe(completed);
  expect(kills).toBeGreaterThanOrEqual(KILLS);
  // Otherwise nothing was tested.
  expect(deaths).toBeGreaterThan(KILLS / 10);
}, 600_000);
