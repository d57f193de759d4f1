// What a process, or a thread, does in shared memory until it is told to stop or killed. Each does its work at full speed, checks
// what must be true whoever was killed, and says what was not. Run by crew.js.
'use strict';

const { workerData, isMainThread } = require('node:worker_threads');

/** Words at the start of the memory. */
const STOP = 0;
const DONE = 1;
const TALLY = 2;
/** Where what is tried lies. */
const OFFSET = 1024;

const SIZE = 1024;

class Wrong extends Error {}

function wrong(what) {
  throw new Wrong(what);
}

/** Takes a while, so that most deaths and most others come in between. */
function dawdle(turns) {
  let sum = 0;
  for (let i = 0; i < turns; i++) sum += i;
  return sum;
}

/** Every word of a value is the same. */
function check(bytes, what) {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [first] = words;
  for (let i = 0; i < words.length; i++)
    if (words[i] !== first) wrong(`${what}: ${first}, ${words[i]}`);
  return first;
}

/** A word that only the holder of a lock touches, in two steps that others could get between. */
function slowly(words, at) {
  const before = words[at];
  dawdle(50);
  words[at] = before + 1;
}

const roles = {
  latestWriter({ memmap, memory, stopped, done, argument = {} }) {
    const latest = new memmap.Latest(memory, { offset: OFFSET, size: SIZE });
    const writer = open(() => latest.writer(), stopped);
    if (writer === undefined) return;
    const value = new Int32Array(SIZE / 4);
    while (!stopped()) {
      const next = writer.version + 1;
      // Values of several lengths, in both ways.
      const words = 1 + (next % value.length);
      if (next % 2 === 0) {
        value.fill(next, 0, words);
        writer.write(value.subarray(0, words));
      } else {
        const bytes = writer.reserve();
        new Int32Array(bytes.buffer, bytes.byteOffset, words).fill(next);
        writer.publish(4 * words);
      }
      done();
      if (argument.slow) dawdle(argument.slow);
    }
    latest.close();
  },

  latestReader({ memmap, memory, stopped, done, argument = {} }) {
    const latest = new memmap.Latest(memory, { offset: OFFSET, size: SIZE });
    const reader = open(() => latest.reader(), stopped);
    if (reader === undefined) return;
    const copy = Buffer.alloc(SIZE);
    let last = 0;
    while (!stopped()) {
      const value = reader.view();
      if (value === undefined) continue;
      // What must never be done: to look at a value after the next one was read.
      if (argument.broken) reader.readInto(copy);
      const first = check(value, 'torn');
      dawdle(argument.broken ? 20_000 : 200);
      if (check(value, 'torn later') !== first) wrong('a value that was held has changed');
      if (!argument.broken && reader.version !== first) wrong(`${reader.version} is ${first}`);
      if (first < last) wrong(`${first} after ${last}`);
      last = first;
      const length = reader.readInto(copy);
      if (!argument.broken) check(copy.subarray(0, length), 'torn copy');
      done();
    }
    latest.close();
  },

  semaphore({ memmap, memory, stopped, done, words, argument: { permits, apart } }) {
    // What must never be done: another semaphore for the same things.
    const offset = apart ? 2 * OFFSET : OFFSET;
    const semaphore = new memmap.Semaphore(memory, { offset, permits });
    const me = 1 + Math.trunc(Math.random() * 2 ** 30);
    while (!stopped()) {
      const permit = semaphore.acquire();
      const at = TALLY + permit.index;
      const before = Atomics.exchange(words, at, me);
      if (before !== 0 && !permit.ownerDied) wrong(`permit ${permit.index} was given twice`);
      dawdle(200);
      if (Atomics.exchange(words, at, 0) !== me) wrong(`permit ${permit.index} was given away`);
      done();
      permit.release();
    }
  },

  rwWriter({ memmap, memory, stopped, done, words }) {
    const lock = new memmap.RwLock(memory, { offset: OFFSET });
    while (!stopped()) {
      const guard = lock.writeLock();
      if (guard.ownerDied) {
        words[TALLY + 1] = words[TALLY];
        guard.markConsistent();
      } else if (words[TALLY] !== words[TALLY + 1]) {
        wrong('a writer found what another was doing');
      }
      slowly(words, TALLY);
      slowly(words, TALLY + 1);
      done();
      guard.unlock();
      dawdle(2000);
    }
  },

  rwReader({ memmap, memory, stopped, done, words, argument = {} }) {
    const lock = new memmap.RwLock(memory, { offset: OFFSET });
    while (!stopped()) {
      // What must never be done: to read without.
      const guard = argument.bold ? { ownerDied: false, unlock: () => {} } : lock.readLock();
      const first = words[TALLY];
      dawdle(100);
      const other = words[TALLY + 1];
      if (!guard.ownerDied && first !== other) wrong(`a reader found ${first} and ${other}`);
      if (words[TALLY] !== first) wrong('it was written while a reader had it');
      done();
      guard.unlock();
    }
  },
};

/** The one before may still be dying. */
function open(make, stopped) {
  while (!stopped()) {
    try {
      return make();
    } catch (error) {
      if (!['ERR_MEMMAP_BUSY', 'ERR_MEMMAP_NO_ROOM'].includes(error.code)) throw error;
    }
  }
  return undefined;
}

function play({ entry, path, role, argument }) {
  const memmap = require(entry);
  const memory = memmap.mapFileSync(path, { access: 'read-write' });
  const head = memory.view(0, OFFSET);
  const words = new Int32Array(head.buffer, head.byteOffset, OFFSET / 4);
  roles[role]({
    memmap,
    memory,
    words,
    argument,
    stopped: () => Atomics.load(words, STOP) !== 0,
    done: () => Atomics.add(words, DONE, 1),
  });
}

module.exports = { STOP, DONE, TALLY, OFFSET };

if (!isMainThread && workerData?.role !== undefined) play(workerData);
else if (require.main === module) play(JSON.parse(process.argv[2]));
