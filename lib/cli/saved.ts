// Data that were saved: the regions that a program printed of itself, or the record of `memmap run`.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { CommandError } from './command.js';
import type { PageData, RegionJson, Trace } from './data.js';
import { titleOf } from './process.js';

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isAddress = (value: unknown): boolean =>
  typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value);

function isRegion(value: unknown): value is RegionJson {
  if (!isObject(value) || !isObject(value['owner'])) return false;
  const { start, end, length, protection, owner } = value;
  return (
    isAddress(start) &&
    isAddress(end) &&
    Number.isSafeInteger(length) &&
    typeof protection === 'string' &&
    [owner['kind'], owner['label']].every((word) => typeof word === 'string')
  );
}

const areRegions = (value: unknown): value is RegionJson[] =>
  Array.isArray(value) && value.every(isRegion);

/** Of this version, with regions to draw; what each call says is taken as it is. */
function isTrace(value: unknown): value is Trace {
  if (!isObject(value) || value['version'] !== 1) return false;
  const { events, snapshots } = value;
  return (
    Array.isArray(events) &&
    events.every(isObject) &&
    Array.isArray(snapshots) &&
    snapshots.every((one) => isObject(one) && areRegions(one['regions']))
  );
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot read ${file}: ${code ?? message}`, { cause: error });
  }
}

/** What a page needs, from a file that `memmap regions --json`, a program itself or `memmap run --trace` wrote. */
export function readSaved(file: string, pageSize: number): PageData {
  const saved = parse(file);
  if (areRegions(saved)) {
    const about = { title: basename(file), pid: 0, command: file, taken: '' };
    return { ...about, pageSize, regions: saved };
  }
  if (!isTrace(saved)) {
    throw new CommandError(`${file} is neither a list of regions nor a trace of memmap run`);
  }
  const { command, pid, started, snapshots } = saved;
  return {
    ...{ title: titleOf(command), pid, command: command.join(' '), taken: started },
    ...{ pageSize: saved.pageSize, regions: snapshots.at(-1)?.regions ?? [], trace: saved },
  };
}
