import { join } from 'node:path';
import { runProgram } from '../helpers/programs.js';

const program = join(__dirname, '..', 'helpers', 'channel-garbage.js');

interface Told {
  readonly writes: number;
  readonly counts: readonly Readonly<Record<string, number>>[];
}

it('garbage all over a channel gives results or errors: no crash, no endless loop', async () => {
  const { stdout } = await runProgram([program, '6']);
  const { writes, counts } = JSON.parse(stdout) as Told;
  expect(writes).toBeGreaterThan(1000);
  expect(counts).toHaveLength(3);
  for (const { results, ERR_MEMMAP_CORRUPT: corrupt } of counts) {
    expect(results).toBeGreaterThan(100);
    expect(corrupt).toBeGreaterThan(10);
  }
}, 70_000);
