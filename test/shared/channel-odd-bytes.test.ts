// Arrays that are not what they say: what is sent and filled is what they really are, and no code of theirs runs in the ring.
import { Channel } from '../../lib/index.js';
import { WORD } from '../../lib/shared/ring-layout.js';
import { bytesOf } from '../../lib/shared/codec.js';
import { Familiar } from '../../lib/shared/familiar.js';
import { growing, growingShared } from '../helpers/growing.js';
import { memmapSays, refused, refusedLater } from '../helpers/refusals.js';

let channel: Channel;

beforeEach(() => {
  channel = Channel.create(null, { capacity: 64 * 1024 });
});

afterEach(() => {
  channel.detach();
});

/** An array that says that it is longer, or shorter. */
function lying(real: number, said: unknown): Uint8Array {
  const array = new Uint8Array(real).fill(7);
  return Object.defineProperty(array, 'length', { value: said });
}

const locks = (): number[] => {
  const { buffer, byteOffset } = channel.mapping.view(0, WORD.rescan * 4);
  const words = new Int32Array(buffer, byteOffset, WORD.rescan);
  return [words[WORD.sendLock] ?? -1, words[WORD.receiveLock] ?? -1];
};

it.each([8, 200, 20_000])('a Proxy of an array of %d bytes is refused', (length) => {
  let calls = 0;
  const message = new Proxy(new Uint8Array(length), {
    get: (target, name) => {
      calls++;
      return Reflect.get(target, name, target) as unknown;
    },
  });
  expect(refused(() => channel.trySend(message))).toMatchObject(memmapSays('ARGUMENT'));
  expect(refused(() => channel.tryReceiveInto(message))).toMatchObject(memmapSays('ARGUMENT'));
  expect([calls, locks(), channel.stats().messages]).toEqual([0, [0, 0], 0]);
});

it.each([
  [100, 8],
  [4, 60],
  [10, -5],
  [10, 3.5],
  [2_000, 40],
  [20_000, 40],
])('an array of %d bytes that says %d is sent as it is', (real, said) => {
  expect(channel.trySend(lying(real, said))).toBe(true);
  channel.sendSync(Buffer.from('next'));
  expect(channel.tryReceive()).toEqual(Buffer.alloc(real, 7));
  expect(String(channel.tryReceive())).toBe('next');
});

it('its own methods are not called', () => {
  class Mine extends Uint8Array {
    override get length(): number {
      throw new Error('mine');
    }
    override set(): void {
      throw new Error('mine');
    }
    override subarray(): never {
      throw new Error('mine');
    }
  }
  for (const length of [8, 300, 20_000]) {
    expect(channel.trySend(new Mine(length))).toBe(true);
    expect(channel.tryReceiveInto(new Mine(length))).toBe(length);
  }
});

it.each([100, 300, 20_000])('a target that says that %d bytes fit does not get them', (length) => {
  channel.sendSync(Buffer.alloc(length, 1));
  const target = lying(60, 30_000);
  expect(refused(() => channel.tryReceiveInto(target))).toMatchObject(memmapSays('RANGE'));
  expect(locks()).toEqual([0, 0]);
  expect(channel.tryReceive()?.length).toBe(length);
});

it('an array that grows with its memory is sent in its length of now', () => {
  const memory = growing(8, 64);
  const array = new Uint8Array(memory);
  for (const length of [8, 40, 64, 4]) {
    memory.resize(length);
    array.fill(length);
    expect(channel.trySend(array)).toBe(true);
    expect(channel.tryReceive()).toEqual(Buffer.alloc(length, length));
  }
});

it('an array that grows with its memory is filled in its length of now', () => {
  const memory = growing(8, 64);
  const array = new Uint8Array(memory);
  for (const length of [8, 40, 64, 4]) {
    memory.resize(length);
    channel.sendSync(Buffer.alloc(length, 9));
    expect(channel.tryReceiveInto(array)).toBe(length);
    expect(Buffer.from(memory)).toEqual(Buffer.alloc(length, 9));
  }
});

it.each([true, false])('memory that grows while it is sent stays as long as it was', (isView) => {
  const memory = growingShared(32, 400);
  const { bytes } = new Familiar(bytesOf).of(isView ? new Uint8Array(memory) : memory);
  memory.grow(400);
  expect(bytes.length).toBe(32);
});

it.each([
  ['an ArrayBuffer that was transferred', transferred(new ArrayBuffer(8))],
  ['an array whose memory became shorter', shrunk()],
])('%s is no message', (_, message) => {
  expect(refused(() => channel.trySend(message))).toMatchObject({
    ...memmapSays('ARGUMENT'),
    argument: 'message',
  });
  expect(channel.tryReceive()).toBeUndefined();
});

function transferred(buffer: ArrayBuffer): ArrayBuffer {
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

function shrunk(): Uint8Array {
  const memory = growing(64, 128);
  const array = new Uint8Array(memory, 8, 16);
  memory.resize(20);
  return array;
}

it('a message that is taken away while it waits is not sent', async () => {
  const small = Channel.create(null, { capacity: 64 });
  small.sendSync(Buffer.alloc(40));
  const message = new Uint8Array(40);
  const sending = small.send(message);
  structuredClone(message.buffer, { transfer: [message.buffer] });
  small.receiveSync();
  expect(await refusedLater(sending)).toMatchObject(memmapSays('ARGUMENT'));
  expect(small.stats().messages).toBe(0);
  small.detach();
});
