// A thousand objects of shared memory at the same time: made, opened and looked at by processes of which
// one is killed now and then. Every tenth goes with its last user; the others are unlinked.
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { SharedMemory } from 'memmap';
import { randomFrom } from '../soak-kit.mjs';
import { Crowd, FREE, wordsOf } from './crowd.mjs';

const MAKERS = 2;
const READERS = 2;

const nameOf = (prefix, number) => `${prefix}objects-${number}`;
const sizeOf = (number) => 1000 + 7 * number;
const stampOf = (number) => 1 + (number % 250);
const goesWithUsers = (number) => number % 10 === 0;

function make(prefix, number) {
  return SharedMemory.create(nameOf(prefix, number), {
    size: sizeOf(number),
    // One that was made by somebody who is dead by now.
    exclusive: false,
    lifetime: goesWithUsers(number) ? 'processes' : 'kernel',
    initialize: ({ buffer }) => buffer.fill(stampOf(number)),
  });
}

function check(mapping, number) {
  const bytes = mapping.read(0, mapping.length);
  if (bytes.length === sizeOf(number) && bytes.every((byte) => byte === stampOf(number))) return;
  throw new Error(`object ${number} has ${bytes.length} bytes, or wrong ones`);
}

/** Makes its share of them and keeps all of them open. */
async function makeAll({ mapping, place, prefix, count, stopped }) {
  const made = wordsOf(mapping, FREE, count);
  const kept = [];
  for (let number = place; number < count && !stopped(); number += MAKERS) {
    const memory = make(prefix, number);
    kept.push(memory);
    check(memory.map(), number);
    Atomics.store(made, number, 1);
    await turn();
  }
  while (!stopped()) await pause(5);
  for (const memory of kept) memory.close();
}

/** Opens one after the other, at random. */
async function readAll({ mapping, born, prefix, count, seed, stopped }) {
  const made = wordsOf(mapping, FREE, count);
  const random = randomFrom(seed + born);
  while (!stopped()) {
    const number = random(count);
    const there = Atomics.load(made, number) === 1;
    await turn();
    let memory;
    try {
      memory = SharedMemory.open(nameOf(prefix, number), { access: 'read' });
    } catch (error) {
      // Not made yet; or gone with its maker, who was killed.
      if (error.code === 'ENOENT' && (!there || goesWithUsers(number))) continue;
      throw error;
    }
    const view = memory.map();
    check(view, number);
    view.unmap();
    memory.close();
  }
}

export const roles = { maker: makeAll, reader: readAll };

const namesOf = (prefix) =>
  SharedMemory.list()
    .map(({ name }) => name)
    .filter((name) => name.startsWith(nameOf(prefix, '')));

async function allMade(crowd, made) {
  while (made.some((each) => each === 0)) {
    await pause(10);
    crowd.check();
  }
}

export async function run({ kills, seed, broken, prefix }) {
  const count = kills;
  const crowd = new Crowd({ part: 'objects', bytes: FREE + 4 * count });
  try {
    const made = wordsOf(crowd.mapping, FREE, count);
    const random = randomFrom(seed);
    const data = { prefix, count, seed };
    for (let place = 0; place < MAKERS; place++) crowd.add(place, 'maker', data);
    for (let place = 0; place < READERS; place++) crowd.add(MAKERS + place, 'reader', data);
    for (let round = 0; round < Math.ceil(count / 50); round++) {
      await pause(20 + random(100));
      const place = random(MAKERS + READERS);
      await crowd.kill(place);
      // What goes with its users may be gone with this one; it is made again.
      if (place < MAKERS) for (let i = place; i < count; i += MAKERS) Atomics.store(made, i, 0);
      crowd.restart(place);
    }
    await allMade(crowd, made);
    const names = namesOf(prefix);
    if (names.length !== count) throw new Error(`there are ${names.length} of ${count} objects`);
    const all = Array.from(made, (_, number) => SharedMemory.open(nameOf(prefix, number)));
    const mappings = all.map((memory) => memory.map());
    mappings.forEach(check);
    await crowd.finish();
    mappings.forEach(check);
    mappings.forEach((mapping) => mapping.unmap());
    all.forEach((memory, number) => {
      // With --broken one is left behind.
      if (!goesWithUsers(number) && !(broken && number === 1)) memory.unlink();
      memory.close();
    });
    return `${count} objects at once, ${crowd.killed} killed`;
  } finally {
    await crowd.close();
  }
}
