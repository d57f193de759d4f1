import { join } from 'node:path';
import { runProgram } from '../helpers/programs.js';

const program = join(__dirname, '..', 'helpers', 'channel-kills.js');

// What must hold is checked by the program itself, which scripts/ can run for longer.
it.each(['peek', 'receive'])(
  'four senders and four receivers that %s, killed at random: what was sent is received once',
  async (taking) => {
    const { stdout } = await runProgram([program, '12', taking, '40'], 100_000);
    const told = JSON.parse(stdout) as { sent: number; received: number; done: number };
    expect(told.done).toBe(12);
    expect(told.sent).toBeGreaterThan(0);
    expect(told.received).toBeGreaterThan(0);
  },
  110_000,
);
