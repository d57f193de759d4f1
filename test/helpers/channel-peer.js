'use strict';
// A sender or a receiver of channel-kills.js: descriptor 3 is the channel, 4 the ledger.
const memmap = require('../../dist/index.js');
const { Ledger, WHICH } = require('./channel-ledger.js');

const [role, how, number, count] = process.argv.slice(2);
const incarnation = Number(number);
const ledger = Ledger.over(memmap.SharedMemory.fromFd(4).map(), Number(count));
const channel = new memmap.Channel(memmap.SharedMemory.fromFd(3));
const random = (most) => Math.floor(Math.random() * most);

function lengthOf() {
  const kind = random(20);
  if (kind < 14) return 8 + random(120);
  return kind < 19 ? 8 + random(3000) : 8 + random(40_000);
}

/** Each byte follows from the name, so that bytes of two messages can be told apart. */
function fill(buffer, which) {
  const seed = incarnation * 7 + which;
  for (let index = 8; index < buffer.length; index++) buffer[index] = (seed + index) & 0xff;
  buffer.writeUInt32LE(incarnation, 0);
  buffer.writeUInt32LE(which, 4);
  return buffer;
}

function nameOf(buffer) {
  const from = buffer.readUInt32LE(0);
  const which = buffer.readUInt32LE(4);
  const seed = from * 7 + which;
  for (let index = 8; index < buffer.length; index++) {
    if (buffer[index] !== ((seed + index) & 0xff))
      throw new Error(`torn: ${from}/${which} at ${index}`);
  }
  return from * WHICH + which;
}

async function sendOne(which) {
  const length = lengthOf();
  const kind = random(10);
  if (kind < 3) {
    const draft =
      how === 'async' ? await channel.reserve(length + 50) : channel.reserveSync(length + 50);
    if (kind === 0) draft.abort();
    else {
      fill(draft.buffer.subarray(0, length), which);
      draft.commit(length);
      return;
    }
  }
  const message = fill(Buffer.alloc(length), which);
  if (kind === 9) while (!channel.trySend(message)) await channel.drained(length);
  else if (how === 'async') await channel.send(message);
  else channel.sendSync(message);
}

async function send() {
  for (let which = 1; which < WHICH && !ledger.stopped; which++) {
    ledger.trying(incarnation, which);
    await sendOne(which);
    ledger.sent(incarnation, which);
  }
}

async function peek() {
  for (;;) {
    const message = how === 'async' ? await channel.peek() : channel.peekSync();
    if (message === undefined) return;
    const name = nameOf(message.buffer);
    if (random(50) === 0) {
      message.requeue();
      continue;
    }
    const goOn = ledger.received(incarnation, name);
    message.release();
    if (!goOn) return;
  }
}

async function receive() {
  for (;;) {
    const message = how === 'async' ? await channel.receive() : channel.receiveSync();
    if (message === undefined) return;
    if (!ledger.received(incarnation, nameOf(message))) return;
  }
}

process.stdout.write('ready\n');
void { send, peek, receive }[role]().then(() => channel.detach());
