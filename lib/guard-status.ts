// The public question: does the guard work, and for whom?
import { native } from './binding.js';
import type { Mapping } from './mapping.js';
import { registry } from './record.js';
import { settings } from './settings.js';

/** Whether our handler is in place, and who relies on it. */
export interface GuardStatus {
  /** Whether new mappings are guarded: `configure({ guard })`. */
  readonly enabled: boolean;
  /** True while the kernel calls our handler for both signals. */
  readonly installed: boolean;
  /** The same for each of the signals. */
  readonly signals: Readonly<Record<'SIGBUS' | 'SIGSEGV', boolean>>;
  /** The mappings of this thread whose pages the handler would mend now. */
  readonly mappings: readonly Mapping[];
}

function readGuardStatus(enabled: boolean): GuardStatus {
  const [, bus = 0, segmentation = 0, ...watched] = native.guardStatus();
  const mappings = new Set<Mapping>();
  for (const address of watched) {
    const owner = registry.entryAt(address)?.owner;
    if (owner !== undefined) mappings.add(owner);
  }
  const signals = { SIGBUS: bus === 1, SIGSEGV: segmentation === 1 };
  return {
    enabled,
    installed: signals.SIGBUS && signals.SIGSEGV,
    signals,
    mappings: [...mappings],
  };
}

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
