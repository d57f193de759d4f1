// What holds for every new mapping of this thread unless its own options say otherwise.
import { boolean, options as read } from './validate.js';

/** Settings of this thread. */
export interface Settings {
  /**
   * Whether new mappings are guarded (default true). False is for programs that own SIGBUS and
   * SIGSEGV themselves: no handler is installed, and a fault ends the process.
   */
  guard?: boolean;
}

export const settings = { guard: true };

/**
 * Changes settings for mappings made from here on, in this thread.
 *
 * @example
 * ```js
 * memmap.configure({ guard: true }); // as it is without
 * ```
 */
export function configure(options: Settings): void {
  const given = read('options', options, ['guard'] as const);
  if (given.guard !== undefined) settings.guard = boolean('options.guard', given.guard);
}
