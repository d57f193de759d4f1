// The error of shared memory that makes no sense. Knows no memory.
import { misuse } from '../errors.js';

export const makesNoSense = (kind: string, what: string): Error =>
  misuse('CORRUPT', `the ${kind} in this memory is corrupted: ${what}`, {
    hint: 'the memory was overwritten',
  });
