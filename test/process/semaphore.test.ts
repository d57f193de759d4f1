// Whoever has a permit is killed at any moment: none is lost, none is given twice.
import { expectClean } from '../helpers/child.js';
import { runCrew } from '../helpers/crew-run.js';

const TIMEOUT = 120_000;

const crew = (permits: number, mortals: number) => [
  { role: 'semaphore', argument: { permits } },
  { role: 'semaphore', argument: { permits } },
  ...Array.from({ length: mortals }, () => ({
    role: 'semaphore',
    argument: { permits },
    mortal: true,
  })),
];

test.each([1, 2])(
  'processes with %d permits',
  async (permits) => {
    const result = await runCrew({ crew: crew(permits, 2), kills: 25, work: 2000 });
    expectClean(result);
    expect(result.stdout).toMatch(/^done \d+$/m);
  },
  TIMEOUT,
);

test(
  'threads',
  async () => {
    expectClean(await runCrew({ crew: crew(2, 2), kills: 25, work: 2000, threads: true }));
  },
  TIMEOUT,
);

test(
  'the crew sees it where a permit is given twice',
  async () => {
    // Two semaphores instead of one: whoever has the first permit of one does not keep the other from it.
    const apart = { role: 'semaphore', argument: { permits: 1, apart: true } };
    const result = await runCrew({ crew: [...crew(1, 0), apart], kills: 0, work: 2 ** 30 });
    expect([result.code, result.signal]).toEqual([1, null]);
    expect(result.stderr).toMatch(/was given twice|was given away/);
  },
  TIMEOUT,
);
