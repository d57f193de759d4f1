// What a handle of a channel does at its edges: code of the caller's that runs inside of a call, calls that wait side by side, bytes
// that are no message.
import { getEventListeners } from 'node:events';
import { truncateSync } from 'node:fs';
import { isNativeError } from 'node:util/types';
import { runInNewContext } from 'node:vm';
import { Channel, type Mapping, mapAnonymous, mapFileSync, pageSize } from '../../lib/index.js';
import { Scratch } from '../helpers/files.js';
import { memmapSays, refused, refusedLater } from '../helpers/refusals.js';

const KIB = 1024;
let mapping: Mapping;

beforeEach(() => {
  mapping = mapAnonymous(64 * KIB, { shared: true });
});

type Json = Channel<'json'>;

describe('a handle that is detached by the arguments of a call', () => {
  const message = (channel: Json) => ({
    toJSON: () => {
      channel.detach();
      return 1;
    },
  });
  const options = (channel: Json) => ({
    get timeout() {
      channel.detach();
      return 5;
    },
  });

  test.each<[string, (channel: Json) => unknown]>([
    ['sendSync', (channel) => channel.sendSync(message(channel))],
    ['trySend', (channel) => channel.trySend(message(channel))],
    ['send', (channel) => channel.send(message(channel))],
    ['send, options', (channel) => channel.send(1, options(channel))],
    ['sendSync, options', (channel) => channel.sendSync(1, options(channel))],
    ['receive', (channel) => channel.receive(options(channel))],
    ['receiveSync', (channel) => channel.receiveSync(options(channel))],
    ['receiveInto', (channel) => channel.receiveInto(Buffer.alloc(8), options(channel))],
    ['receiveIntoSync', (channel) => channel.receiveIntoSync(Buffer.alloc(8), options(channel))],
    ['reserve', (channel) => channel.reserve(8, options(channel))],
    ['reserveSync', (channel) => channel.reserveSync(8, options(channel))],
    ['peek', (channel) => channel.peek(options(channel))],
    ['peekSync', (channel) => channel.peekSync(options(channel))],
    ['drained', (channel) => channel.drained(8, options(channel))],
  ])('%s: refuses, and nothing is sent or taken', async (_name, call) => {
    const channel = new Channel(mapping, { codec: 'json' });
    const other = new Channel(mapping, { codec: 'json' });
    other.sendSync('there');
    const refusal = await refusedLater((async () => await call(channel))());
    expect(refusal).toMatchObject(memmapSays('CLOSED'));
    expect(other.stats()).toMatchObject({ messages: 1, claimed: 0, reserved: 0, participants: 1 });
    other.detach();
    mapping.unmap();
  });

  test.each<[string, (channel: Channel) => Promise<unknown>]>([
    ['peek', (channel) => channel.peek()],
    ['reserve', (channel) => channel.reserve(8)],
  ])('%s: gives nothing that others have by then', async (_name, call) => {
    const channel = new Channel(mapping);
    const other = new Channel(mapping);
    other.sendSync(Buffer.from('once'));
    const pending = call(channel);
    channel.detach();
    expect(await refusedLater(pending)).toMatchObject(memmapSays('CLOSED'));
    expect(String(other.tryReceive())).toBe('once');
    other.detach();
    mapping.unmap();
  });
});

describe('calls that wait are not overtaken', () => {
  it('by one that sends', async () => {
    const channel = new Channel(mapping);
    const other = new Channel(mapping);
    while (other.trySend(Buffer.alloc(100)));
    const first = channel.send(Buffer.from('first'));
    while (other.tryReceive() !== undefined);
    expect([channel.trySend(Buffer.of(1)), channel.tryReserve(1)]).toEqual([false, undefined]);
    for (const call of [
      () => {
        channel.sendSync(Buffer.from('second'));
      },
      () => channel.reserveSync(1),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('BUSY'));
    }
    await first;
    channel.sendSync(Buffer.from('second'));
    expect([other.tryReceive(), other.tryReceive()].map(String)).toEqual(['first', 'second']);
    channel.detach();
    other.detach();
    mapping.unmap();
  });

  it('by one that receives', async () => {
    const channel = new Channel(mapping);
    const other = new Channel(mapping);
    const first = channel.receive();
    await new Promise(setImmediate);
    other.sendSync(Buffer.from('first'));
    const target = Buffer.alloc(8);
    expect([channel.tryReceive(), channel.tryPeek(), channel.tryReceiveInto(target)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    for (const call of [
      () => channel.receiveSync(),
      () => channel.peekSync(),
      () => channel.receiveIntoSync(target),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('BUSY'));
    }
    expect(String(await first)).toBe('first');
    other.sendSync(Buffer.from('second'));
    expect(String(channel.receiveSync())).toBe('second');
    channel.detach();
    other.detach();
    mapping.unmap();
  });
});

it('however many calls wait with one signal, it has one listener, and stops them all', async () => {
  const channel = new Channel(mapping);
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = Array.from({ length: 50 }, () => channel.receive({ signal }));
  await new Promise(setImmediate);
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  const reason = new Error('enough');
  const refusals = Promise.all(waiting.map(refusedLater));
  controller.abort(reason);
  for (const refusal of await refusals) expect(refusal).toBe(reason);
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  channel.sendSync(Buffer.from('next'));
  expect(String(channel.receiveSync())).toBe('next');
  channel.detach();
  mapping.unmap();
});

describe('bytes that are no message of the codec', () => {
  test.each([
    ['json', '{garbage'],
    ['v8', 'garbage'],
  ] as const)('%s: are taken, and said', async (codec, text) => {
    const raw = new Channel(mapping);
    const channel = new Channel<'json' | 'v8'>(mapping, { codec });
    const says = { ...memmapSays('CODEC'), bytes: Buffer.from(text), length: text.length };
    for (let count = 0; count < 3; count++) raw.sendSync(Buffer.from(text));
    const refusals = [
      refused(() => channel.tryReceive()),
      refused(() => channel.receiveSync()),
      await refusedLater(channel.receive()),
    ];
    for (const refusal of refusals) {
      expect(refusal).toMatchObject(says);
      expect(isNativeError((refusal as Error).cause)).toBe(true);
    }
    raw.sendSync(Buffer.from(text));
    channel.sendSync('next');
    const looped = (async () => {
      for await (const message of channel) return message;
      return undefined;
    })();
    expect(await refusedLater(looped)).toMatchObject(says);
    expect(channel.tryReceive()).toBe('next');
    raw.detach();
    channel.detach();
    mapping.unmap();
  });
});

describe('the memory of a message', () => {
  it('cannot be transferred away from under the messages beside it', () => {
    const channel = new Channel(mapping);
    for (const text of ['one', 'two', 'three']) channel.sendSync(Buffer.from(text));
    const got = [channel.receiveSync(), channel.receiveSync(), channel.receiveSync()];
    const first = got[0]?.buffer as ArrayBuffer;
    try {
      structuredClone(first, { transfer: [first] });
    } catch {
      // Node 22 refuses it, Node 20 copies.
    }
    expect(got.map(String)).toEqual(['one', 'two', 'three']);
    channel.detach();
    mapping.unmap();
  });

  it('is its own where it comes out of v8', () => {
    const channel = new Channel(mapping, { codec: 'v8' });
    for (const value of [1, 2]) channel.sendSync(new Uint8Array(4).fill(value));
    const [one, two] = [channel.receiveSync(), channel.receiveSync()] as Uint8Array<ArrayBuffer>[];
    const moved = structuredClone(one, { transfer: [one?.buffer as ArrayBuffer] });
    expect([moved, two]).toEqual([new Uint8Array(4).fill(1), new Uint8Array(4).fill(2)]);
    expect(one?.length).toBe(0);
    channel.detach();
    mapping.unmap();
  });

  it('may be an ArrayBuffer of another realm', () => {
    const channel = new Channel(mapping);
    channel.sendSync(runInNewContext('new Uint8Array([1, 2]).buffer') as ArrayBuffer);
    channel.sendSync(runInNewContext('new SharedArrayBuffer(3)') as SharedArrayBuffer);
    expect([channel.receiveSync(), channel.receiveSync()]).toEqual([
      Buffer.of(1, 2),
      Buffer.alloc(3),
    ]);
    channel.detach();
    mapping.unmap();
  });
});

it('what the getters of its options send and receive is not taken for what a call was given', async () => {
  const channel = new Channel(mapping);
  const [first, second] = [Buffer.from('the first'), Buffer.from('another')];
  // Arrays that the handle knows already.
  for (const each of [first, second, first]) channel.trySend(each);
  const targets = [Buffer.alloc(20), Buffer.alloc(20)] as const;
  for (const target of [...targets, targets[0]]) channel.tryReceiveInto(target);
  const sends = () => ({
    get timeout() {
      channel.trySend(second);
      return 1000;
    },
  });
  channel.sendSync(first, sends());
  await channel.send(first, sends());
  const receives = () => ({
    get timeout() {
      channel.tryReceiveInto(targets[1]);
      return 1000;
    },
  });
  const texts = () => targets.map((target) => target.toString('latin1').replace(/\0+$/, ''));
  const clear = () => targets.forEach((target) => target.fill(0));
  clear();
  expect(channel.receiveIntoSync(targets[0], receives())).toBe(9);
  expect(texts()).toEqual(['the first', 'another']);
  clear();
  expect(await channel.receiveInto(targets[0], receives())).toBe(9);
  expect(texts()).toEqual(['the first', 'another']);
  channel.detach();
  mapping.unmap();
});

it('a file that is cut behind its channel, which never looks there', () => {
  const scratch = new Scratch();
  const channelLength = 3 * pageSize;
  const path = scratch.file(Buffer.alloc(8 * pageSize));
  const file = mapFileSync(path, { access: 'read-write' });
  new Channel(file, { length: channelLength }).detach();
  const channel = new Channel(file);
  const faults: unknown[] = [];
  file.on('fault', (fault) => faults.push(fault));
  truncateSync(path, channelLength);
  const message = Buffer.alloc(40, 7);
  // Around the ring, with looks at it while it is empty.
  for (let sent = 0; sent < 300; sent++) {
    expect(channel.tryReceive()).toBeUndefined();
    expect(channel.trySend(message)).toBe(true);
    expect(channel.tryReceive()).toEqual(message);
  }
  expect([faults, file.faults]).toEqual([[], []]);
  channel.detach();
  file.unmap();
  mapping.unmap();
  scratch.remove();
});
