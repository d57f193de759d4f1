// The public question: does the guard work, and for whom?
import { type GuardStatus, readGuardStatus } from './faults.js';
import { settings } from './settings.js';

/**
 * Whether the fault guard is in place. `process.on('SIGBUS')` and other packages replace a handler
 * without asking; memmap puts its own back on top where it can see that, and passes on what is not
 * its own.
 *
 * @example
 * ```js
 * memmap.guardStatus().enabled; // true
 * ```
 */
export const guardStatus = (): GuardStatus => readGuardStatus(settings.guard);
