// The registry's record of one reservation or arena: where it is. Must never hold the object once
// that is older than a turn of the event loop.
import type { Arena } from './arena.js';
import type { Span } from '../page.js';
import type { Home } from '../record.js';
import type { Entry } from '../registry.js';
import type { Reservation } from './reservation.js';
import { native } from '../binding.js';

//   start      inner.start                        inner.end      end
//     |  guard  |  what things can be placed in      |   guard   |
export class Reserve implements Home, Entry<Reservation | Arena> {
  readonly ownerId: number;
  readonly start: number;
  readonly end: number;
  readonly inner: Span;
  /** Names it to C++, where nobody else is to be named. */
  readonly owners: Float64Array;
  state: 'reserved' | 'released' = 'reserved';
  strong: object | undefined = undefined;
  weak = -1;
  freed: ((span: Span, now: boolean) => void) | undefined = undefined;

  constructor(ownerId: number, outer: Span, inner: Span) {
    this.ownerId = ownerId;
    this.owners = Float64Array.of(ownerId);
    this.start = outer.start;
    this.end = outer.end;
    this.inner = inner;
  }

  get owner(): Reservation | Arena | undefined {
    const held = this.strong as Reservation | Arena | undefined;
    if (held !== undefined || this.weak < 0) return held;
    return native.derefWeakRef(this.weak) as Reservation | Arena | undefined;
  }

  /** What lies in it may be in use; the pages that are its own never are. */
  readonly busy = undefined;
}
