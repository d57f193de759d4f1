// How much a test does: `npm test` looks at each case with small numbers, `npm run test:all` with
// large ones, and at those that take long at any size.
import { itUnless } from './refusals';

const isFull = process.env['MEMMAP_TEST_AMOUNT'] === 'full';

/** A number of repetitions. */
export const amount = (few: number, many: number): number => (isFull ? many : few);

/** For a test that waits for a time of the package itself, or whose size cannot be made small. */
export const itLong = itUnless(isFull ? undefined : 'long tests: npm run test:all runs them');
