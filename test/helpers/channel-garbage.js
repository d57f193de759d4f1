'use strict';
// node channel-garbage.js SECONDS [SEED]: processes that use a channel while another writes garbage over it, header, locks, participants and
// records. Each call must give a result or one of our errors, in time; a process that dies or does nothing for too long is a failure.
// It goes on until enough was done, however slow the machine.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { setImmediate: turn, setTimeout: sleep } = require('node:timers/promises');
const memmap = require('../../dist/index.js');

const SIZE = 8960 + 4096;
const TABLE = { from: 768 / 4, to: 8960 / 4 };
const RING = { from: 8960 / 4, to: SIZE / 4 };
/** Every word of the header that means something. */
const HEADER = [0, 1, 2, 3, 4, 5, 6, 32, 33, 34, 64, 65, 66, 96, 97, 128, 129, 160];
/** Less garbage than this, or fewer answers to one of those who use it, say nothing. */
const ENOUGH = { writes: 1000, results: 100, corrupt: 10 };
/** Where a call may wait for long: a lock that garbage says is held, with a live tag. */
const STUCK_MS = 15_000;
const ALLOWED = ['CORRUPT', 'TIMEOUT', 'CLOSED', 'RANGE', 'NO_ROOM', 'ARGUMENT', 'BUSY'].map(
  (kind) => `ERR_MEMMAP_${kind}`,
);

/** Numbers from a seed (mulberry32), so that a failure can be had again. */
function randomly(seed) {
  return (most) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % most;
  };
}

function garble(words, random) {
  const between = ({ from, to }) => from + random(to - from);
  const place = [() => HEADER[random(HEADER.length)], () => between(TABLE), () => between(RING)][
    random(3)
  ]();
  const tag = (random(3) << 7) | random(4);
  const value = [
    () => random(2 ** 32) | 0,
    () => random(1100) - 8,
    () => (random(8) << 28) | tag,
    () => (random(2) << 31) | (1 << 30) | tag,
    () => 0,
    () => words[between(RING)],
  ][random(6)]();
  words[place] = value;
}

function tried(call, counts) {
  try {
    const result = call();
    counts.results++;
    return result;
  } catch (error) {
    if (!ALLOWED.includes(error.code)) throw error;
    counts[error.code] = (counts[error.code] ?? 0) + 1;
    return undefined;
  }
}

async function triedLater(call, counts) {
  try {
    await call();
    counts.results++;
  } catch (error) {
    if (!ALLOWED.includes(error.code)) throw error;
    counts[error.code] = (counts[error.code] ?? 0) + 1;
  }
}

async function use(channel, random, counts) {
  const most = channel.maxMessage;
  const quick = { timeout: 3, spin: 0.5 };
  for (let step = 0; step < 60; step++) {
    const bytes = Buffer.alloc(random(step % 9 === 0 ? most : 200));
    const calls = [
      () => channel.trySend(bytes),
      () => channel.sendSync(bytes, quick),
      () => channel.tryReceive(),
      () => channel.receiveSync(quick),
      () => channel.tryPeek()?.release(),
      () => channel.tryPeek()?.requeue(),
      () => channel.tryReserve(bytes.length)?.commit(random(bytes.length + 1)),
      () => channel.tryReserve(bytes.length)?.abort(),
      () => channel.stats(),
      () => (random(40) === 0 ? channel.close() : undefined),
    ];
    if (random(8) > 0) tried(calls[random(calls.length)], counts);
    else
      await triedLater(
        () => (random(2) === 0 ? channel.receive(quickly) : channel.send(bytes, quickly)),
        counts,
      );
  }
}
const quickly = { timeout: 3 };

/** One that uses it until it is told to end; now and then it begins with zeros again. */
async function victim(seed) {
  const mapping = memmap.SharedMemory.fromFd(3).map();
  const random = randomly(seed);
  const counts = { results: 0, rounds: 0, ERR_MEMMAP_CORRUPT: 0 };
  const isEnough = () =>
    counts.results > ENOUGH.results && counts.ERR_MEMMAP_CORRUPT > ENOUGH.corrupt;
  process.once('message', () => process.disconnect());
  while (process.connected || !isEnough()) {
    if (random(3) === 0) mapping.buffer.fill(0);
    const channel = tried(() => new memmap.Channel(mapping), counts);
    if (channel !== undefined) {
      await use(channel, random, counts);
      tried(() => channel.detach(), counts);
    }
    counts.rounds++;
    process.stdout.write('.');
    // To hear what it is told.
    await turn();
  }
  process.stdout.write(`\n${JSON.stringify(counts)}\n`);
}

async function main() {
  const seconds = Number(process.argv[2]);
  const seed = Number(process.argv[3] ?? Date.now() % 1e9);
  const shared = memmap.SharedMemory.create(null, { size: SIZE });
  const { buffer } = shared.map();
  const words = new Int32Array(buffer.buffer, buffer.byteOffset, SIZE / 4);
  const random = randomly(seed);
  const failures = [];
  const victims = [1, 2, 3].map((number) => {
    const args = [__filename, 'victim', String(seed + number)];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit', shared.fd, 'ipc'],
    });
    const peer = { child, said: '', last: Date.now(), exit: once(child, 'exit') };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      peer.said += text.replace(/^\.+/, '');
      peer.last = Date.now();
    });
    return peer;
  });
  const ends = Promise.all(victims.map(({ exit }) => exit));
  let writes = 0;
  let isOver = false;
  let isTold = false;
  const until = Date.now() + seconds * 1000;
  void ends.then(() => (isOver = true));
  while (!isOver) {
    // In bursts, so that some calls find a channel that was in order a moment ago.
    for (let count = random(20); count > 0; count--, writes++) garble(words, random);
    await sleep(random(3));
    if (!isTold && writes > ENOUGH.writes && Date.now() >= until) {
      isTold = true;
      for (const { child } of victims) if (child.connected) child.send('enough', () => undefined);
    }
    for (const { child, last } of victims) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() - last < STUCK_MS)
        continue;
      failures.push(`${child.pid} does nothing`);
      child.kill('SIGKILL');
    }
  }
  for (const [code, signal] of await ends)
    if (code !== 0) failures.push(`ended with ${code ?? signal}`);
  const counts = victims.map(({ said }) =>
    said.includes('{') ? JSON.parse(said.slice(said.indexOf('{'))) : said,
  );
  console.log(JSON.stringify({ seed, writes, counts, failures }));
  process.exitCode = failures.length === 0 ? 0 : 1;
}

if (process.argv[2] === 'victim') void victim(Number(process.argv[3]));
else void main();
