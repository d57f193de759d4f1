// The options of a channel: what they mean, and reading each of them once.
import type { Mapping } from '../mapping.js';
import { boolean, bytes, givenRange, options, wrongKind } from '../validate.js';
import { type Codec, codecOf } from './codec.js';
import { LEAST_CAPACITY, OVERHEAD, UNIT } from './ring-layout.js';
import type { SharedCreateOptions, SharedLifetime, SharedOpenOptions } from './shared-options.js';
import { SharedMemory } from './shared-memory.js';

/** How one handle uses a channel. */
export interface ChannelUse<Kind extends Codec = 'bytes'> {
  /** How messages are written; every handle of a channel must say the same. Default 'bytes'. */
  codec?: Kind;
  /** False: waiting at it does not keep the process alive. See `ref` and `unref`. */
  ref?: boolean;
}

/** Where a channel lies in memory of one's own. */
export interface ChannelOptions<Kind extends Codec = 'bytes'> extends ChannelUse<Kind> {
  /** First byte. Default 0. */
  offset?: number;
  /** Bytes, of which 8960 are the channel's own. Default: to the end; or what the channel has, where there is one. */
  length?: number;
}

/** How a channel is made. */
export interface ChannelCreateOptions<Kind extends Codec = 'bytes'> extends ChannelUse<Kind> {
  /** Bytes for messages that were not received yet, 8 for each of them included; at least 64. */
  capacity: number;
  /** As for `SharedMemory.create`. */
  mode?: number;
  /** As for `SharedMemory.create`. */
  exclusive?: boolean;
  /** As for `SharedMemory.create`. */
  lifetime?: SharedLifetime;
}

/** How a channel is opened. */
export interface ChannelOpenOptions<Kind extends Codec = 'bytes'> extends ChannelUse<Kind> {
  /** Milliseconds to wait for one that is being made. */
  timeout?: number;
}

export interface Use {
  readonly codec: Codec;
  readonly ref: boolean;
}

export interface ChannelPlan extends Use {
  readonly offset: number;
  readonly length: number | undefined;
}

const USE = ['codec', 'ref'] as const;

const useOf = (given: { readonly codec?: unknown; readonly ref?: unknown }): Use => ({
  codec: codecOf(given.codec),
  ref: given.ref === undefined || boolean('ref', given.ref),
});

export function channelPlan(value: unknown): ChannelPlan {
  const { offset, length, ...use } = options('options', value, [
    ...USE,
    'offset',
    'length',
  ] as const);
  return { ...givenRange(defined({ offset, length })), ...useOf(use) };
}

/** What is undefined was not given. */
const defined = (given: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

/** The shared memory of a new channel, and how its handle is used. */
export function createPlan(
  value: unknown,
  isNamed: boolean,
): { readonly use: Use; readonly shared: SharedCreateOptions } {
  const names = isNamed
    ? ([...USE, 'capacity', ...SHARED] as const)
    : ([...USE, 'capacity'] as const);
  const given: Partial<Record<string, unknown>> = options('options', value, names);
  const { codec, ref, capacity, ...rest } = given;
  const room = bytes('options.capacity', capacity, LEAST_CAPACITY);
  const size = OVERHEAD + Math.ceil(room / UNIT) * UNIT;
  return { use: useOf({ codec, ref }), shared: { ...rest, size } };
}

const SHARED = ['mode', 'exclusive', 'lifetime'] as const;

export function openPlan(value: unknown): {
  readonly use: Use;
  readonly shared: SharedOpenOptions;
} {
  const { timeout, ...use } = options('options', value, [...USE, 'timeout'] as const);
  // Checked where it is used.
  return { use: useOf(use), shared: defined({ timeout }) };
}

/** The mapping of a channel, and whether it was made for it. */
export function memoryOf(memory: unknown): { readonly mapping: Mapping; readonly isOwn: boolean } {
  if (memory instanceof SharedMemory) return { mapping: memory.map(), isOwn: true };
  if (typeof memory !== 'object' || memory === null || !('view' in memory)) {
    throw wrongKind('memory', 'a Mapping or a SharedMemory', memory);
  }
  // Whatever else it is: the first call that needs one says so.
  return { mapping: memory as Mapping, isOwn: false };
}
