// The owner of a mutex is killed, again and again, while four processes count under it.
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { Mutex } from 'memmap';
import { randomFrom } from '../soak-kit.mjs';
import { Crowd, FREE, wordsOf } from './crowd.mjs';

const PLACES = 4;
const WORDS = FREE + 64;
const DONE = WORDS + 64;
const BYTES = DONE + 4 * PLACES;
// Of the words:
const COUNT = 0; // the plain counter
const INSIDE = 1; // 1 + the place of the one that is in the section
const INHERITED = 2; // how often the owner had died
// What is about to be written, so that the next owner can complete what the last one began:
const BEGUN = 3;
const NEXT_COUNT = 4;
const NEXT_PLACE = 5;
const NEXT_DONE = 6;

/** A lock that locks nothing: with it the soak must fail. */
class NoLock {
  lock() {
    return { ownerDied: false };
  }
  async lockAsync() {
    return this.lock();
  }
  unlock() {}
  markConsistent() {}
}

function complete(words, done) {
  if (Atomics.load(words, BEGUN) === 1) {
    words[COUNT] = words[NEXT_COUNT];
    done[words[NEXT_PLACE]] = words[NEXT_DONE];
  }
  Atomics.store(words, BEGUN, 0);
  Atomics.store(words, INSIDE, 0);
  words[INHERITED]++;
}

/** A few microseconds in which this process can be killed, or another can do what it must not. */
function linger(random) {
  const end = performance.now() + random(100) / 1000;
  while (performance.now() < end);
}

function countOnce(words, done, { place, random }) {
  const other = Atomics.exchange(words, INSIDE, place + 1);
  if (other !== 0) throw new Error(`${place} got the mutex that ${other - 1} has`);
  words[NEXT_COUNT] = words[COUNT] + 1;
  words[NEXT_PLACE] = place;
  words[NEXT_DONE] = done[place] + 1;
  Atomics.store(words, BEGUN, 1);
  linger(random);
  words[COUNT] = words[NEXT_COUNT];
  linger(random);
  done[place] = words[NEXT_DONE];
  Atomics.store(words, BEGUN, 0);
  if (Atomics.exchange(words, INSIDE, 0) !== place + 1) {
    throw new Error(`somebody got the mutex that ${place} has`);
  }
}

async function count({ mapping, place, born, seed, broken, stopped }, take) {
  const mutex = broken ? new NoLock() : new Mutex(mapping, FREE);
  const words = wordsOf(mapping, WORDS, 16);
  const done = wordsOf(mapping, DONE, PLACES);
  const random = randomFrom(seed + born);
  while (!stopped()) {
    const { ownerDied } = await take(mutex);
    if (ownerDied) {
      complete(words, done);
      mutex.markConsistent();
    }
    countOnce(words, done, { place, random });
    mutex.unlock();
    if (random(20) === 0) await turn();
  }
}

const timeout = 20_000;
export const roles = {
  blocking: (given) => count(given, (mutex) => mutex.lock({ timeout })),
  waiting: (given) => count(given, (mutex) => mutex.lockAsync({ timeout })),
};

export async function run({ kills, seed, broken }) {
  const crowd = new Crowd({ part: 'mutex', bytes: BYTES });
  try {
    const words = wordsOf(crowd.mapping, WORDS, 16);
    const random = randomFrom(seed);
    for (let place = 0; place < PLACES; place++) {
      crowd.add(place, place % 2 === 0 ? 'blocking' : 'waiting', { seed, broken });
    }
    while (Atomics.load(words, INHERITED) < kills) {
      await pause(random(8));
      crowd.check();
      const inside = Atomics.load(words, INSIDE) - 1;
      // Mostly the owner, now and then whoever it is.
      const place = random(8) === 0 ? random(PLACES) : inside;
      if (place >= 0) await crowd.replace(place);
    }
    await crowd.finish();
    const sum = wordsOf(crowd.mapping, DONE, PLACES).reduce((all, done) => all + done, 0);
    if (words[COUNT] !== sum) throw new Error(`the counter is ${words[COUNT]} instead of ${sum}`);
    return `${crowd.killed} killed, ${words[INHERITED]} of them owners; counted to ${sum}`;
  } finally {
    await crowd.close();
  }
}
