// Puts a new mapping over owned pages, and keeps the books of what was there.
import { type KEEP, check, isDestroyed, isOutOfRoom, native } from './binding.js';
import { startGuard } from './faults.js';
import { inside } from './inside.js';
import { retry } from './lifetime.js';
import type { Mapping } from './mapping.js';
import { whereOf } from './ranges.js';
import { type MappingRecord, treatment } from './record.js';
import { carve } from './release.js';

export interface Overlay {
  /** What is new there; its pages are the target. */
  readonly record: MappingRecord;
  readonly flags: number;
  readonly fd: number;
  readonly offset: number;
  /** Whatever mappings lie there now, and the ids of all owners. */
  readonly victims: readonly MappingRecord[];
  readonly owners: Float64Array;
  readonly keep: (typeof KEEP)[keyof typeof KEEP];
}

/** The call alone. It throws with everything as it was, or (`destroyed`) with the victims gone. */
function put({ record, flags, fd, offset, victims, owners, keep }: Overlay): void {
  const { start, end, contents } = record;
  // Called at once, and once more where there was no room.
  const call = () =>
    native.overlay(
      record.ownerId,
      start,
      end - start,
      contents.protection,
      flags,
      fd,
      offset,
      treatment(record, contents),
      owners,
      keep,
    );
  // Only the first failure can destroy nothing: a collection would come too late for the second.
  const first = call();
  if (first === undefined) return;
  const answer = isOutOfRoom(first) ? retry(call) : first;
  if (isDestroyed(answer)) {
    for (const victim of victims) carve(victim, record, 'unmapped');
  }
  check(answer, whereOf(record));
}

/** Makes the mapping of `record` in the place of the victims, whose Mappings are told. */
export function putOver(overlay: Overlay): Mapping {
  const { record, victims } = overlay;
  // Native code may still be reading what is replaced.
  if (record.guarded && victims.length > 0) startGuard();
  put(overlay);
  if (victims.length === 0) return inside.create(record);
  const replaced = victims.map(({ owner }) => owner);
  for (const victim of victims) carve(victim, record, 'replaced');
  const mapping = inside.create(record);
  for (const victim of replaced) victim?.emit('replace');
  return mapping;
}
