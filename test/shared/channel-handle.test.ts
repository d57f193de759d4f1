// What a handle of a channel does at its edges: code of the caller's that runs inside of a call, calls that wait side by side, bytes
// that are no message.
import { Channel, type Mapping, mapAnonymous } from '../../lib/index.js';
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
