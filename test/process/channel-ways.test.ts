import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../helpers/programs.js';

const program = join(__dirname, '..', 'helpers', 'channel-ways.js');

it.each(['spawn', 'fork', 'cluster', 'worker'])(
  'a channel goes there and back by %s, closed from one end and then from the other',
  async (way) => {
    const { stdout, pid } = await runProgram([program, way]);
    expect(JSON.parse(stdout)).toEqual({ came: 2000, end: 0, used: 0, participants: 1 });
    const left = readdirSync('/dev/shm').filter((name) => name.includes(`-${String(pid)}-`));
    expect(left).toEqual([]);
  },
);
