// Two processes create the same shared memory at once, and now and then one of them is killed at it: one
// of them wins, and nobody ever opens anything that is not whole.
import { setTimeout as pause } from 'node:timers/promises';
import { SharedMemory } from 'memmap';
import { randomFrom } from '../soak-kit.mjs';
import { Crowd, FREE, wordsOf } from './crowd.mjs';

const PLACES = 2;
const SIZE = 100_000;
const WORDS = 2 + PLACES;
// Of the words: the round, when it begins, and what came of it in each place: 4 times its number, and one
// of these.
const ROUND = 0;
const BEGINNING = 1;
const RESULTS = 2;
const MADE = 1;
const LATE = 2;

const nameOf = (prefix, round) => `${prefix}creators-${round}`;
const stampOf = (round) => 1 + (round % 250);

/** Microseconds, of a clock that all processes have. */
const clock = () => Number((process.hrtime.bigint() / 1000n) & 0x3fffffffn);
const SOON = 5000;
/** The clock comes round. */
const isBefore = (moment) => (moment - clock()) << 2 > 0;

function tryTo(create) {
  try {
    create().close();
    return MADE;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return LATE;
  }
}

async function create({ mapping, place, last, prefix, broken, stopped }) {
  const words = wordsOf(mapping, FREE, WORDS);
  for (let done = last; !stopped();) {
    const round = Atomics.load(words, ROUND);
    if (round === done) {
      await pause(1);
      continue;
    }
    // Both at once, where both are there in time.
    while (isBefore(words[BEGINNING]));
    const result = tryTo(() =>
      SharedMemory.create(nameOf(prefix, round), {
        size: SIZE,
        exclusive: !broken,
        initialize: ({ buffer }) => buffer.fill(stampOf(round)),
      }),
    );
    Atomics.store(words, RESULTS + place, 4 * round + result);
    done = round;
  }
}

export const roles = { creator: create };

/** True: it is there, and whole. */
function look(name, stamp) {
  let memory;
  try {
    memory = SharedMemory.open(name);
  } catch (error) {
    // Whoever comes too early is told so.
    if (error.code === 'ENOENT') return false;
    throw error;
  }
  const mapping = memory.map();
  const bytes = mapping.read(0, mapping.length);
  if (bytes.length !== SIZE || bytes.some((byte) => byte !== stamp)) {
    throw new Error(`${name} was opened with ${bytes.length} bytes, or not filled`);
  }
  mapping.unmap();
  memory.close();
  return true;
}

export async function run({ kills, seed, broken, prefix }) {
  const rounds = Math.ceil(kills / 2);
  const crowd = new Crowd({ part: 'creators', bytes: FREE + 4 * WORDS });
  let winners = 0;
  let early = 0;
  try {
    const words = wordsOf(crowd.mapping, FREE, WORDS);
    const random = randomFrom(seed);
    const add = (place, last) => crowd.add(place, 'creator', { prefix, broken, last });
    for (let place = 0; place < PLACES; place++) add(place, 0);
    for (let round = 1; round <= rounds; round++) {
      const name = nameOf(prefix, round);
      const victim = random(4) === 0 ? random(PLACES) : -1;
      const resultOf = (place) => {
        const result = Atomics.load(words, RESULTS + place);
        return result >> 2 === round ? result & 3 : 0;
      };
      const beginning = clock() + SOON;
      words[BEGINNING] = beginning;
      Atomics.store(words, ROUND, round);
      if (victim >= 0) {
        const moment = beginning + random(1500);
        while (isBefore(moment));
        await crowd.kill(victim);
      }
      const awaited = [0, 1].filter((place) => place !== victim);
      while (awaited.some((place) => resultOf(place) === 0)) {
        if (!look(name, stampOf(round))) early++;
        await pause(0);
        crowd.check();
      }
      const made = [0, 1].filter((place) => resultOf(place) === MADE).length;
      // The one that was killed may have made it without a chance to say so.
      if (made > 1 || (made === 0 && victim < 0)) throw new Error(`${made} of 2 made ${name}`);
      if (!look(name, stampOf(round)))
        throw new Error(`${name} is not there, and somebody made it`);
      winners += made;
      SharedMemory.unlink(name);
      if (victim >= 0) add(victim, round);
    }
    await crowd.finish();
    return `${rounds} rounds, ${crowd.killed} killed, ${winners} winners, ${early} looks too early`;
  } finally {
    await crowd.close();
  }
}
