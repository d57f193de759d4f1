// What lies where in a channel, and what each state means. Knows no mapping and no addon.
//
//   0        constants: magic, version, geometry; closed; counters for stats()
//   128      senders:   tail, send lock, the head as a sender last saw it
//   256      receivers: head, receive lock, scan
//   384      items: a number to sleep on for receivers, and whether one sleeps
//   512      space: the same for senders
//   640      rescan: something before `scan` may be there to be taken
//   768      128 participants, a Cell of 64 bytes each
//   8960     the ring: records, in units of 8 bytes
//
// A record is a header of one unit (state and tag, length in bytes) and its payload, side by side. The unit behind the
// last record is always zero, so that a receiver needs to read nothing but the record it waits for; a ring of N units holds
// N - 1. Positions run from 0 to 2N - 1: equal means empty, and a position modulo N is a unit.
//
//   state        who made it so                          what becomes of it
//   0            the sender before it: end of the list   any other, by a sender that holds the send lock
//   RESERVED     a sender; its tag is in the word        COMMITTED or RELEASED by it; ABANDONED once it is dead
//   COMMITTED    its sender, by one atomic store         CLAIMED, or gone when `head` passes it
//   CLAIMED      a receiver; its tag is in the word      RELEASED or COMMITTED (requeued) by it; COMMITTED once it is dead
//   RELEASED     its receiver, or a sender that aborts   gone when `head` passes it
//   ABANDONED    a receiver that found its sender dead   gone when `head` passes it
//   PADDING      a sender: too little before the wrap    gone when `head` passes it
//
// To send: take the send lock; write zero behind; write payload and length; store the state (this is the commit); move the
// tail; leave. A sender killed before the store has done nothing, and one killed after it has left a record at the tail: whoever
// takes the lock next finds no zero there and steps over it. What is long is RESERVED under the lock and filled in without it.
//
// To receive: take the receive lock; walk from `scan` to the first COMMITTED; copy it; move the head (this is the receipt), or
// mark it RELEASED where an older one still holds the head; leave. What is long, or looked at in place, is CLAIMED under the lock.
// Nothing from `head` to `scan` was COMMITTED when it was looked at; whoever makes such a record COMMITTED sets `rescan`.
//
// To sleep: set the flag; read the number; look again; sleep on the number. The other side: change the ring; look at the flag; if
// it is set clear it, count the number up, wake everybody. Both sleep in slices and look again, since a waker may be killed.

/** Indexes of 32-bit words. */
export const WORD = {
  magic: 0,
  version: 1,
  units: 2,
  participants: 3,
  closed: 4,
  abandoned: 5,
  redelivered: 6,
  tail: 32,
  sendLock: 33,
  headSeen: 34,
  head: 64,
  receiveLock: 65,
  scan: 66,
  items: 96,
  receiversAsleep: 97,
  space: 128,
  sendersAsleep: 129,
  rescan: 160,
} as const;

/** Participants, and bytes of each. */
export const PARTICIPANTS = 128;
export const CELL = 64;

/** Bytes before the first participant, and before the first unit of the ring. */
export const TABLE = 768;
export const OVERHEAD = TABLE + PARTICIPANTS * CELL;

/** The word of the first unit of the ring. */
export const BASE = OVERHEAD / 4;

/** Bytes of a unit, and of a record's header. */
export const UNIT = 8;

/** The smallest ring, and the longest: its words are counted in 31 bits. */
export const LEAST_CAPACITY = 64;
export const MOST_CAPACITY = 2 ** 32 - 2 ** 20;

/** A state's number lies above the tag of whoever made it so. */
export const STATE_SHIFT = 28;
export const TAG = 2 ** STATE_SHIFT - 1;

export const STATE = {
  RESERVED: 1,
  COMMITTED: 2,
  CLAIMED: 3,
  RELEASED: 4,
  ABANDONED: 5,
  PADDING: 6,
} as const;

/** A lock's word: zero, or who holds it, and in the top bit whether somebody sleeps. */
export const HELD = 1 << 30;
export const ASLEEP = 1 << 31;

/** What a call on the ring answers that is not a length or a unit. */
export const ANSWER = {
  /** Nothing to receive, or no room: later. */
  wait: -1,
  /** The lock is taken, for longer than one may wait for it. */
  busy: -2,
  /** Closed, and for a receiver: nothing can come any more. */
  closed: -3,
  /** What was read makes no sense. */
  corrupt: -4,
  /** The message is longer than what it was to be copied into; nothing was taken. */
  long: -5,
} as const;

const MAGIC = 0x684d636d;
const VERSION = 1;

/** Units of a record with a payload of `length` bytes. */
export const unitsOf = (length: number): number => 1 + Math.ceil(length / UNIT);

/** The longest payload of a ring of so many units: one is its header, one stays zero. */
export const longestOf = (units: number): number => Math.min((units - 2) * UNIT, 2 ** 31 - 64);

export type Attached =
  | { readonly units: number }
  | { readonly problem: 'ARGUMENT' | 'CORRUPT'; readonly message: string };

const corrupt = (message: string): Attached => ({ problem: 'CORRUPT', message });

/**
 * Finds the channel in `words`, or makes one where there are zeros. Each constant is put over a zero by compare-and-swap, the
 * magic last: several may do it at once or be killed meanwhile, and everything else of a new channel is zero.
 */
export function attach(
  words: Int32Array,
  units: number,
  { exact, isThere }: { readonly exact: boolean; readonly isThere: boolean },
): Attached {
  const magic = Atomics.load(words, WORD.magic);
  if (magic !== 0 && magic !== MAGIC) return corrupt('the memory is neither zeroed nor a channel');
  if (magic === 0 && isThere) return corrupt('the memory holds no channel');
  let found = units;
  if (magic === MAGIC) {
    found = Atomics.load(words, WORD.units);
  } else {
    const before = Atomics.compareExchange(words, WORD.units, 0, units);
    if (before !== 0) found = before;
    if (!put(words, WORD.version, VERSION) || !put(words, WORD.participants, PARTICIPANTS)) {
      return corrupt('the memory is neither zeroed nor a channel');
    }
  }
  if (Atomics.load(words, WORD.version) !== VERSION) {
    const version = String(Atomics.load(words, WORD.version));
    return corrupt(`the channel is of version ${version}; this is memmap for ${String(VERSION)}`);
  }
  if (found < LEAST_CAPACITY / UNIT || found > units) {
    return corrupt(
      `the channel says that it has ${String(found)} units of 8 bytes; there is room for ${String(units)}`,
    );
  }
  if (Atomics.load(words, WORD.participants) !== PARTICIPANTS) {
    return corrupt('the channel has another number of participants than all channels');
  }
  if (exact && found !== units) {
    const bytes = String(OVERHEAD + found * UNIT);
    return { problem: 'ARGUMENT', message: `the channel was made with a length of ${bytes} bytes` };
  }
  if (!put(words, WORD.magic, MAGIC)) return corrupt('the memory is neither zeroed nor a channel');
  return { units: found };
}

function put(words: Int32Array, index: number, value: number): boolean {
  const before = Atomics.compareExchange(words, index, 0, value);
  return before === 0 || before === value;
}
