'use strict';
// node channel-kills.js KILLS [peek|receive] [SECONDS]: four senders and four receivers at one channel, of which one after the other is killed
// and replaced. What was sent was received once; bytes are those that were sent. Prints what happened; exit code 1 if it is wrong.
// With 'receive' each kill may take with it the one message that the receiver had just been given.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const memmap = require('../../dist/index.js');
const { Ledger, WHICH } = require('./channel-ledger.js');

const kills = Number(process.argv[2]);
const taking = process.argv[3] ?? 'peek';
const seconds = Number(process.argv[4] ?? 60);
const SENDERS = 4;
const RECEIVERS = 4;
/** Replacements, and those that end because their log is full. */
const INCARNATIONS = SENDERS + RECEIVERS + 3 * kills + 64;

const channel = memmap.Channel.create(null, { capacity: 256 * 1024 });
const shared = memmap.SharedMemory.create(null, {
  size: Ledger.bytes(INCARNATIONS),
  allocate: false,
});
const ledger = Ledger.over(shared.map(), INCARNATIONS);

const peers = new Set();
const everybody = [];
const failures = [];
let isEnding = false;

function start(role) {
  const incarnation = everybody.length;
  if (incarnation >= INCARNATIONS) throw new Error('the ledger is full');
  const how = incarnation % 2 === 0 ? 'async' : 'sync';
  const args = [
    join(__dirname, 'channel-peer.js'),
    role,
    how,
    String(incarnation),
    String(INCARNATIONS),
  ];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit', channel.shared.fd, shared.fd],
  });
  const peer = { role, incarnation, child, killed: false, ready: once(child.stdout, 'data') };
  peer.exit = once(child, 'exit').then(([code, signal]) => {
    peers.delete(peer);
    if (!peer.killed && code !== 0)
      failures.push(`${role} ${incarnation} ended with ${code ?? signal}`);
    if (!peer.killed && !isEnding) start(role);
  });
  peers.add(peer);
  everybody.push(peer);
  return peer;
}

async function killOne() {
  const victims = [...peers].filter((peer) => !peer.killed);
  const victim = victims[Math.floor(Math.random() * victims.length)];
  await Promise.race([victim.ready, victim.exit]);
  await sleep(Math.random() * 30);
  if (victim.child.exitCode !== null) return;
  victim.killed = true;
  victim.child.kill('SIGKILL');
  await victim.exit;
  start(victim.role);
}

/** Those of the group have ended by themselves, in time. */
async function ended(role) {
  const group = [...peers].filter((peer) => peer.role === role);
  const late = sleep(30_000, 'late', { ref: false });
  const result = await Promise.race([Promise.all(group.map(({ exit }) => exit)), late]);
  if (result === 'late')
    failures.push(`not every ${role} has ended: ${JSON.stringify(channel.stats())}`);
}

function check() {
  /** How often each message of each sender was received, and how often that may have been once too many. */
  const counts = new Map();
  const received = (name) => {
    const [from, which] = [Math.floor(name / WHICH), name % WHICH];
    const known = counts.get(from);
    if (known === undefined || which === 0 || which >= known.length) return undefined;
    return { known, which };
  };
  for (const { incarnation, role } of everybody) {
    if (role === 'send') counts.set(incarnation, new Int8Array(ledger.of(incarnation).tried + 1));
  }
  let [strange, missing, maybe, twice, sentInAll, inAll] = [0, 0, 0, 0, 0, 0];
  for (const { incarnation } of everybody) {
    for (const name of ledger.of(incarnation).received) {
      const at = received(name);
      if (at === undefined) strange++;
      else at.known[at.which]++;
    }
  }
  for (const { incarnation, killed } of everybody) {
    // Written down, and killed before it could release it: another has it too.
    const last = killed ? ledger.of(incarnation).received.at(-1) : undefined;
    const at = last === undefined ? undefined : received(last);
    if (at !== undefined && at.known[at.which] > 1) at.known[at.which]--;
  }
  for (const [incarnation, known] of counts) {
    const { sent } = ledger.of(incarnation);
    sentInAll += sent;
    for (let which = 1; which < known.length; which++) {
      if (known[which] > 0) inAll++;
      else if (which <= sent) missing++;
      if (known[which] > 1) twice++;
      if (known[which] > 0 && which > sent) maybe++;
    }
  }
  const deadReceivers = everybody.filter(({ role, killed }) => killed && role !== 'send').length;
  if (strange > 0) failures.push(`${strange} messages that nobody sent`);
  if (twice > 0) failures.push(`${twice} messages were received twice`);
  if (missing > (taking === 'receive' ? deadReceivers : 0))
    failures.push(`${missing} messages are missing`);
  return { kills, sent: sentInAll, received: inAll, missing, maybe };
}

async function main() {
  for (let index = 0; index < SENDERS; index++) start('send');
  for (let index = 0; index < RECEIVERS; index++) start(taking);
  const until = Date.now() + seconds * 1000;
  let done = 0;
  while (done < kills && Date.now() < until && failures.length === 0) {
    await killOne();
    done++;
  }
  await Promise.all([...peers].map(({ ready, exit }) => Promise.race([ready, exit])));
  isEnding = true;
  ledger.stop();
  await ended('send');
  channel.close();
  await ended(taking);
  for (const { child } of peers) child.kill('SIGKILL');
  const stats = channel.stats();
  if (stats.used !== 0) failures.push(`not empty: ${JSON.stringify(stats)}`);
  const { abandoned, redelivered } = stats;
  console.log(JSON.stringify({ ...check(), done, abandoned, redelivered, failures }));
  process.exitCode = failures.length === 0 && done === kills ? 0 : 1;
}

void main().finally(() => {
  for (const { child } of peers) child.kill('SIGKILL');
});
