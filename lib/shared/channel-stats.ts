// What can be known of a channel from outside.
import { misuse } from '../errors.js';
import type { Endpoint } from './endpoint.js';
import { ROLE } from './participants.js';
import { STATE, UNIT, WORD } from './ring-layout.js';

/** How full a channel is, and who takes part. */
export interface ChannelStats {
  /** Messages that wait to be received. */
  readonly messages: number;
  /** Messages that are being written in place, or copied in. */
  readonly reserved: number;
  /** Messages that somebody looks at and has not released. */
  readonly claimed: number;
  /** Bytes in use, headers and gaps included. */
  readonly used: number;
  /** Bytes that are free. */
  readonly free: number;
  /** Handles that are attached, in live threads. */
  readonly participants: number;
  /** Those of them that have sent. */
  readonly senders: number;
  /** Those of them that have received. */
  readonly receivers: number;
  /** Messages whose sender died before it had committed them. */
  readonly abandoned: number;
  /** Messages whose receiver died before it had released them: another got them. */
  readonly redelivered: number;
  /** Whether somebody has closed it. */
  readonly closed: boolean;
}

export function statsOf(end: Endpoint): ChannelStats {
  const { keeper, ring, participants, words } = end;
  const counts = keeper.census();
  end.answer(0);
  if (counts === undefined) {
    throw misuse('TIMEOUT', `a lock of the channel is held by ${end.holderOf(WORD.receiveLock)}`);
  }
  return {
    messages: counts[STATE.COMMITTED] ?? 0,
    reserved: counts[STATE.RESERVED] ?? 0,
    claimed: counts[STATE.CLAIMED] ?? 0,
    used: ring.used * UNIT,
    free: ring.free,
    participants: participants.living(0),
    senders: participants.living(ROLE.sends),
    receivers: participants.living(ROLE.receives),
    abandoned: Atomics.load(words, WORD.abandoned),
    redelivered: Atomics.load(words, WORD.redelivered),
    closed: Atomics.load(words, WORD.closed) !== 0,
  };
}
