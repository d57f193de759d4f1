// The record behind a Mapping that a caller passed, or called a method of.
import { misuse } from './errors.js';
import { inside } from './inside.js';
import type { MappingRecord } from './record.js';
import { wrongKind } from './validate.js';

/** The record of a receiver, which is whatever the caller chose: Mapping.prototype.unmap.call({}). */
export function anyOf(receiver: unknown): MappingRecord {
  const is = typeof receiver === 'object' && receiver !== null;
  const record = is ? inside.recordOf(receiver) : undefined;
  if (record === undefined) throw wrongKind('this', 'a Mapping', receiver);
  return record;
}

/** The same of a mapping that is still mapped. */
export function liveOf(receiver: unknown): MappingRecord {
  const record = anyOf(receiver);
  if (record.state === 'mapped') return record;
  throw misuse('UNMAPPED', `the mapping was ${record.state}`, {
    address: BigInt(record.address),
    length: record.length,
    path: record.contents.path,
  });
}
