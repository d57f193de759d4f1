// How slow the machine is that runs the tests: times after which a process is taken for stuck grow by this factor.

export const patience = Number(process.env['MEMMAP_TEST_PATIENCE'] ?? 1);
