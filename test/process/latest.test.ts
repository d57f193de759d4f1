// A writer at full speed, readers that look at each value twice, and deaths.
import { expectClean } from '../helpers/child.js';
import { runCrew } from '../helpers/crew-run.js';

const TIMEOUT = 120_000;
const reader = { role: 'latestReader' };
const writer = { role: 'latestWriter' };

test(
  'values are whole, and stay so while they are held',
  async () => {
    const result = await runCrew({ crew: [writer, reader, reader], kills: 0, work: 200_000 });
    expectClean(result);
    expect(result.stdout).toMatch(/^done \d{6,}$/m);
  },
  TIMEOUT,
);

test(
  'the crew sees it where a value is looked at for too long',
  async () => {
    const broken = { ...reader, argument: { broken: true } };
    const result = await runCrew({ crew: [writer, broken], kills: 0, work: 2 ** 30 });
    expect([result.code, result.signal]).toEqual([1, null]);
    expect(result.stderr).toMatch(/torn|has changed/);
  },
  TIMEOUT,
);

test(
  'writers and readers are killed and replaced',
  async () => {
    const crew = [
      { ...writer, mortal: true },
      { ...writer, mortal: true },
      reader,
      { ...reader, mortal: true },
    ];
    expectClean(await runCrew({ crew, kills: 25, work: 20_000 }));
  },
  TIMEOUT,
);

test(
  'so are threads',
  async () => {
    const crew = [{ ...writer, mortal: true }, reader, { ...reader, mortal: true }];
    expectClean(await runCrew({ crew, kills: 25, work: 20_000, threads: true }));
  },
  TIMEOUT,
);
