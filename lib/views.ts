// Buffers over mapped memory. A view keeps its Mapping alive; the Mapping may outlive its views.
import { constants } from 'node:buffer';
import { check, native } from './binding.js';
import { flags } from './constants.js';
import { startGuard } from './faults.js';
import { misuse } from './errors.js';
import type { Span } from './page.js';
import { type MappingRecord, registry } from './record.js';
import type { ByteRange } from './validate.js';

/** Node 26.0 to 26.8 abort on an external ArrayBuffer of 32 GiB (nodejs/node#65534). */
function longestView(): number {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const capped = major === 26 && minor < 9;
  return capped ? Math.min(constants.MAX_LENGTH, 2 ** 35 - 1) : constants.MAX_LENGTH;
}

export const LONGEST_VIEW = longestView();

// A class whose constructor answers the object it is given puts private fields on that object: a
// strong edge from ArrayBuffer to Mapping that no user code can see, copy or remove.
const Given = function (given: ArrayBufferLike) {
  return given;
} as unknown as new (given: ArrayBufferLike) => ArrayBuffer;

class Keeper extends Given {
  #mapping: object;
  #offset: number;

  constructor(buffer: ArrayBufferLike, mapping: object, offset: number) {
    super(buffer);
    this.#mapping = mapping;
    this.#offset = offset;
  }

  static mappingOf(buffer: object): object | undefined {
    return #mapping in buffer ? buffer.#mapping : undefined;
  }

  static offsetOf(buffer: object): number {
    return #offset in buffer ? buffer.#offset : 0;
  }
}

/** The mapping that an ArrayBuffer is a window of. */
export const mappingOf = (buffer: object): object | undefined => Keeper.mappingOf(buffer);

/** Where in its mapping an ArrayBuffer begins. */
export const offsetOf = (buffer: object): number => Keeper.offsetOf(buffer);

/** Atomics on 64 bits want their words in their place. */
const ALIGNMENT = 8;

/** The whole of a shared mapping as a SharedArrayBuffer, zero copy. */
export function makeSharedView(mapping: object, record: MappingRecord): SharedArrayBuffer {
  const { length, lead, start, contents } = record;
  if (!contents.shared) {
    throw misuse('UNSUPPORTED', 'a SharedArrayBuffer needs a shared mapping; this one is private', {
      hint: "access 'read' or 'read-write' of a file, or mapAnonymous(length, { shared: true })",
    });
  }
  if (length === 0) return new SharedArrayBuffer(0);
  mustFit(length);
  if (lead % ALIGNMENT !== 0) {
    throw misuse('UNSUPPORTED', `its first byte must lie at a multiple of ${String(ALIGNMENT)}`, {
      address: BigInt(record.address),
    });
  }
  if (record.guarded) startGuard();
  const details = { address: BigInt(record.address), length, path: contents.path };
  const buffer = check(native.sharedView(start, lead, length), details);
  new Keeper(buffer, mapping, 0);
  return buffer;
}

/** Bytes of a reservation as one Buffer. The range has been checked. */
export function makeSpan(
  reservation: object,
  { start }: Span,
  { offset, length }: ByteRange,
): Buffer {
  if (length === 0) return Buffer.alloc(0);
  mustFit(length);
  const guarded = registry
    .entriesIn(start + offset, start + offset + length)
    .some((record) => record.guarded);
  if (guarded) startGuard();
  const buffer = check(native.reserveView(start, offset, length), {
    length,
    hint: 'place() something readable there first',
  });
  new Keeper(buffer.buffer, reservation, offset);
  return buffer;
}

function mustFit(length: number): void {
  if (length <= LONGEST_VIEW) return;
  throw misuse(
    'RANGE',
    `${String(length)} bytes are too long for one Buffer here (at most ${String(LONGEST_VIEW)})`,
    { length, hint: 'view(offset, length) gives a window of any part' },
  );
}

/** A Buffer over `length` bytes at `offset`, zero copy. The range has been checked. */
export function makeView(
  mapping: object,
  record: MappingRecord,
  { offset, length }: ByteRange,
): Buffer {
  if (length === 0) return Buffer.alloc(0);
  mustFit(length);
  const from = record.address + offset;
  if (!record.allows(flags.read, from, from + length)) {
    throw misuse('UNSUPPORTED', 'the pages cannot be read: their protection excludes it', {
      address: BigInt(from),
      length,
      hint: "protect('read') first",
    });
  }
  if (record.guarded) startGuard();
  const buffer = check(native.view(record.start, record.lead + offset, length));
  new Keeper(buffer.buffer, mapping, offset);
  return buffer;
}
