// Two numbers that writers keep equal, in two steps: no reader sees them differ unless it is told that a writer died.
import { expectClean } from '../helpers/child.js';
import { runCrew } from '../helpers/crew-run.js';

const TIMEOUT = 120_000;
const writer = { role: 'rwWriter' };
const reader = { role: 'rwReader' };
const mortal = true;

test(
  'readers and writers are killed and replaced',
  async () => {
    const crew = [writer, { ...writer, mortal }, reader, { ...reader, mortal }];
    const result = await runCrew({ crew, kills: 25, work: 2000 });
    expectClean(result);
    expect(result.stdout).toMatch(/^done \d+$/m);
  },
  TIMEOUT,
);

test(
  'a last writer is killed: readers are told, and the next writer puts it right',
  async () => {
    const crew = [{ ...writer, mortal }, reader, reader];
    expectClean(await runCrew({ crew, kills: 25, work: 2000 }));
  },
  TIMEOUT,
);

test(
  'threads',
  async () => {
    const crew = [writer, { ...writer, mortal }, reader, { ...reader, mortal }];
    expectClean(await runCrew({ crew, kills: 25, work: 2000, threads: true }));
  },
  TIMEOUT,
);

test(
  'the crew sees it where a reader does not lock',
  async () => {
    const bold = { role: 'rwReader', argument: { bold: true } };
    const result = await runCrew({ crew: [writer, bold], kills: 0, work: 2 ** 30 });
    expect([result.code, result.signal]).toEqual([1, null]);
    expect(result.stderr).toMatch(/a reader found|it was written/);
  },
  TIMEOUT,
);
