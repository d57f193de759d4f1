// A mapping of a small file of its own for each test, whose pages a test takes away. `path`, `m` and `told` change with each.
import { truncateSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { type FaultError, type Mapping, mapFileSync, pageSize, registry } from '../../lib/index.js';
import { Scratch, patterned } from './files.js';

export const scratch = new Scratch();
export const PAGES = 4;
export const original = patterned(PAGES * pageSize);

export let path: string;
export let m: Mapping;
/** What the listener of `m` was told. */
export let told: FaultError[];

export function listenTo(mapping: Mapping): FaultError[] {
  const errors: FaultError[] = [];
  mapping.on('fault', (error) => errors.push(error));
  return errors;
}

/** Pages of the mapping that faulted in a file that now ends before them, read once each. */
export function lose(from: number): void {
  truncateSync(path, from * pageSize);
  for (let page = from; page < PAGES; page++) expect(m.buffer[page * pageSize]).toBe(0);
}

/** For the tests of this file: each begins with the whole mapping, and must leave the registry right. */
export function damagedForEach(): void {
  beforeEach(() => {
    path = scratch.file(original);
    m = mapFileSync(path, { access: 'read-write' });
    told = listenTo(m);
    expect(m.buffer.equals(original)).toBe(true);
  });
  afterEach(async () => {
    const drifts = registry.verify();
    for (const mapping of registry.mappings()) mapping.unmap();
    await turn();
    expect(drifts.map(({ kind, found }) => [kind, found])).toEqual([]);
  });
  afterAll(() => scratch.remove());
}
