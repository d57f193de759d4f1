// A reservation and an arena with something in them, and what a refused call must leave alone.

import {
  type Arena,
  type Mapping,
  type Reservation,
  addressSpace,
  mapAnonymous,
  pageSize,
  registry,
  reserve,
} from '../../lib/index.js';
import { Scratch, patterned } from './files.js';
import { modesOf } from './kernel.js';
import { PAGE } from './raw.js';
import { type Refusal, memmapSays, refused } from './refusals.js';

export const PAGES = 8;
export const LENGTH = PAGES * pageSize;

export const scratch = new Scratch();
/** A file of three pages. */
export const path = scratch.file(patterned(3 * pageSize));

// Pages:  0  1  | 2  3  | 4 | 5   | 6  7
//         vacant  memory      file   vacant
export let r: Reservation;
export let memory: Mapping;
export let file: Mapping;
export let arena: Arena;
export let inArena: Mapping;
let before: unknown;

const everything = (): unknown => ({
  layout: r.layout(),
  states: [r.state, memory.state, file.state, arena.state, inArena.state],
  modes: modesOf(r.address - PAGE, PAGES + 2, pageSize),
  arenaModes: modesOf(arena.address, PAGES, pageSize),
  stats: arena.stats(),
  bytes: [memory.read(0, 6).toString(), file.read(0, 8), inArena.read(0, 5).toString()],
  owners: registry.mappings(),
  drift: registry.verify(),
});

/** From here on this is how it should be. */
export function settle(): void {
  before = everything();
}

/** Nothing has changed. */
export function expectUnchanged(): void {
  expect(everything()).toEqual(before);
}

/** Makes all of it before each test of the file, and takes it away afterwards. */
export function reservedForEach(): void {
  beforeEach(() => {
    r = reserve(LENGTH, { guardPages: 1 });
    memory = r.place(2 * pageSize, { anonymous: 2 * pageSize });
    memory.write(0, 'memory');
    file = r.place(5 * pageSize, { file: path, offset: pageSize, length: 100 });
    arena = addressSpace.arena({ size: LENGTH });
    inArena = mapAnonymous(pageSize, { arena });
    inArena.write(0, 'arena');
    settle();
  });

  afterEach(() => {
    r.release();
    arena.release();
    expect(registry.mappings()).toEqual([]);
  });

  afterAll(() => {
    scratch.remove();
  });
}

type Kind =
  'ARGUMENT' | 'RANGE' | 'OVERLAP' | 'BUSY' | 'UNMAPPED' | 'UNSUPPORTED' | 'FOREIGN' | 'NO_ROOM';

/** The error of a call that has changed nothing. */
export function refusal(kind: Kind, call: () => unknown): Refusal {
  const error = refused(call);
  expect(error).toMatchObject(memmapSays(kind));
  expectUnchanged();
  return error;
}
