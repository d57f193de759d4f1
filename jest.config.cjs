'use strict';

// How slow the machine may be, see CONTRIBUTING.md: no test waits for a time, but each has a limit.
process.env.MEMMAP_TEST_PATIENCE ??= '3';
const patience = Number(process.env.MEMMAP_TEST_PATIENCE);

const project = (displayName, patterns) => ({
  displayName,
  rootDir: __dirname,
  testEnvironment: patience === 1 ? 'node' : '<rootDir>/test/helpers/patient-environment.cjs',
  // Packages of others (the Nodes of the matrix, the peers of the benchmark) are not ours to index.
  modulePathIgnorePatterns: ['<rootDir>/.build/', '<rootDir>/bench/'],
  // Sources name the file that tsc will write.
  moduleNameMapper: { '^(\\.{1,2}/.+)\\.js$': '$1' },
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.jest.json', diagnostics: false }] },
  ...patterns,
});

module.exports = {
  // Not for the memory: with a limit jest never runs tests in its own process, which a crash would end without a report.
  workerIdleMemoryLimit: '2GB',
  testTimeout: 60_000 * patience,
  projects: [
    project('unit', {
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['<rootDir>/test/process/'],
    }),
    project('process', { testMatch: ['<rootDir>/test/process/**/*.test.ts'] }),
  ],
};
