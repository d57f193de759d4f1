// Looks at a process and gives what it found: all regions, the one at an address, how cut up it is.
import { check, native, pageSize } from '../binding.js';
import { type Fragmentation, fragmentationOf } from './fragmentation.js';
import { Listing } from './listing.js';
import { lookedAt, processOf } from './looking.js';
import { roundDown } from '../page.js';
import { type Region, regionsOf } from './region.js';
import { COLUMNS, NAME, countOf } from './survey.js';
import { raw } from '../validate.js';

export function listRegions(options: unknown): Region[] {
  const listing = Listing.of(processOf(options));
  return regionsOf(listing, countOf(listing.survey));
}

const row = new Float64Array(COLUMNS);

export function regionAt(address: unknown): Region | undefined {
  // Above 2^53 only the page is exact as a number, which is all that is asked for.
  const page = Number(BigInt.asUintN(64, raw('address', address) & -BigInt(pageSize)));
  const name = check(native.locate(roundDown(page, pageSize), row));
  if (name === undefined) return undefined;
  const rows = row.slice();
  rows[NAME] = name === '' ? -1 : 0;
  const listing = new Listing(0, { rows, names: name === '' ? [] : [name] }, false);
  return regionsOf(listing, 1)[0];
}

/** On x86-64 the last page below 2^47 cannot be mapped. */
const margin = process.arch === 'x64' ? pageSize : 0;

export function measureFragmentation(options: unknown): Fragmentation {
  const pid = processOf(options);
  const survey = lookedAt(pid, native.regionTable(pid));
  const [lowest = 0, limit = 0] = native.limits();
  return fragmentationOf(survey, { lowest, limit, margin });
}
