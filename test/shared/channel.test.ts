import { inspect } from 'node:util';
import { Channel, SharedMemory, mapAnonymous } from '../../lib/index.js';
import { memmapSays, refused, refusedLater } from '../helpers/refusals.js';

const KIB = 1024;
const open: Channel[] = [];

function make(capacity = 4 * KIB): Channel {
  const channel = Channel.create(null, { capacity });
  open.push(channel);
  return channel;
}

/** Another handle of the same channel. */
function another(channel: Channel): Channel {
  const { shared } = channel;
  if (shared === undefined) throw new Error('it has no shared memory');
  const handle = new Channel(shared);
  open.push(handle);
  return handle;
}

/** A name, taken away afterwards. */
const nameOf = (what: string) => `memmap-test-${String(process.pid)}-channel-${what}`;

afterEach(() => {
  for (const channel of open.splice(0)) channel.detach();
});

describe('a message', () => {
  it.each([0, 1, 7, 8, 9, 24, 25, 100, 1024, 1025, 4 * KIB - 16])(
    'of %d bytes comes as it went',
    (length) => {
      const channel = make();
      expect(channel.maxMessage).toBe(4 * KIB - 16);
      for (let lap = 0; lap < 7; lap++) {
        const message = Buffer.alloc(length, lap + 1);
        expect(channel.trySend(message)).toBe(true);
        expect(channel.tryReceive()).toEqual(message);
      }
      expect(channel.tryReceive()).toBeUndefined();
    },
  );

  it('is not changed by what is sent after it', () => {
    const channel = make();
    const got = [];
    for (let index = 0; index < 500; index++) {
      channel.sendSync(Buffer.from(`message ${String(index)}`));
      got.push(channel.receiveSync());
    }
    expect(got.map(String)).toEqual(got.map((_, index) => `message ${String(index)}`));
  });

  it.each([
    ['Uint16Array', Uint16Array.of(1, 2)],
    ['DataView', new DataView(Uint8Array.of(9, 1, 0, 2, 0, 9).buffer, 1, 4)],
    ['ArrayBuffer', Uint8Array.of(1, 0, 2, 0).buffer],
    ['part of a Buffer', Buffer.of(9, 1, 0, 2, 0, 9).subarray(1, 5)],
  ])('may be a %s', (_kind, message) => {
    const channel = make();
    channel.sendSync(message);
    expect(channel.receiveSync()).toEqual(Buffer.of(1, 0, 2, 0));
  });

  it('fills a target of one’s own, or stays where it is', async () => {
    const channel = make(64 * KIB);
    const target = Buffer.alloc(8);
    channel.sendSync(Buffer.from('four'));
    expect(channel.tryReceiveInto(target)).toBe(4);
    expect(target.toString('latin1')).toBe('four\0\0\0\0');
    for (const length of [9, 40 * KIB]) {
      channel.sendSync(Buffer.alloc(length, 7));
      expect(refused(() => channel.tryReceiveInto(target))).toMatchObject({
        ...memmapSays('RANGE'),
        length,
      });
      const fitting = new Uint32Array(Math.ceil(length / 4));
      expect(await channel.receiveInto(fitting)).toBe(length);
      expect(fitting[1]).toBe(0x07070707);
    }
    expect(channel.tryReceiveInto(target)).toBeUndefined();
    channel.sendSync(Buffer.alloc(0));
    expect(channel.receiveIntoSync(target)).toBe(0);
  });

  it('is found full: exactly so many fit', () => {
    // 62 of 64 units hold records; one each is a header.
    const channel = make(512);
    const message = Buffer.alloc(8);
    for (let index = 0; index < 31; index++) expect(channel.trySend(message)).toBe(true);
    expect(channel.trySend(message)).toBe(false);
    expect(channel.stats()).toMatchObject({ messages: 31, used: 496, free: 0 });
    channel.tryReceive();
    expect([channel.trySend(message), channel.trySend(message)]).toEqual([true, false]);
  });
});

describe('a codec', () => {
  const through = (codec: 'utf8' | 'json' | 'v8', message: unknown): unknown => {
    using channel = Channel.create(null, { capacity: KIB, codec });
    channel.sendSync(message);
    return channel.receiveSync();
  };

  it('writes messages and reads them', () => {
    expect(through('utf8', 'grüße, 世界 🌍')).toBe('grüße, 世界 🌍');
    expect(through('utf8', '')).toBe('');
    expect(through('json', { a: [1, null, 'x'] })).toEqual({ a: [1, null, 'x'] });
    expect(through('json', null)).toBeNull();
    const map = new Map([['k', 1n]]);
    expect([...(through('v8', map) as Map<string, bigint>)]).toEqual([['k', 1n]]);
  });

  it.each([
    ['utf8', 5],
    ['json', undefined],
    ['json', () => undefined],
    ['v8', undefined],
  ] as const)('%s refuses %p', (codec, message) => {
    expect(refused(() => through(codec, message))).toMatchObject(memmapSays('ARGUMENT'));
  });

  it('of bytes refuses what is none', () => {
    const channel = make();
    for (const message of ['text', 5, null, undefined, {}, [1]]) {
      expect(refused(() => channel.trySend(message as Buffer))).toMatchObject({
        ...memmapSays('ARGUMENT'),
        argument: 'message',
      });
    }
  });
});

describe('waiting', () => {
  it('ends with a message, in the order in which one began', async () => {
    const channel = make();
    const three = [channel.receive(), channel.receive(), channel.receive()];
    for (const text of ['a', 'b', 'c']) await channel.send(Buffer.from(text));
    expect((await Promise.all(three)).map(String)).toEqual(['a', 'b', 'c']);
  });

  it('for room keeps the order of what is sent', async () => {
    const channel = make(64);
    const receiver = another(channel);
    const names = Array.from({ length: 50 }, (_, index) => String(index).padStart(20));
    const sending = Promise.all(names.map((name) => channel.send(Buffer.from(name))));
    expect(channel.trySend(Buffer.from('first'))).toBe(false);
    const got = [];
    while (got.length < names.length) got.push(String(await receiver.receive()));
    await sending;
    expect(got).toEqual(names);
  });

  it('ends at its time', async () => {
    const channel = make(64);
    const message = Buffer.alloc(40);
    channel.sendSync(message);
    expect(refused(() => channel.sendSync(message, { timeout: 5 }))).toMatchObject(
      memmapSays('TIMEOUT'),
    );
    const sending = [
      channel.send(message, { timeout: 5 }),
      channel.send(message, { timeout: 5 }),
      channel.reserve(40, { timeout: 5 }),
      channel.drained(48, { timeout: 5 }),
    ];
    for (const refusal of await Promise.all(sending.map(refusedLater))) {
      expect(refusal).toMatchObject(memmapSays('TIMEOUT'));
    }
    channel.receiveSync();
    expect(refused(() => channel.receiveSync({ timeout: 5, spin: 0 }))).toMatchObject(
      memmapSays('TIMEOUT'),
    );
    expect(refused(() => channel.receiveSync({ timeout: 0 }))).toMatchObject(memmapSays('TIMEOUT'));
    const receiving = [channel.receive({ timeout: 5 }), channel.peek({ timeout: 0 })];
    for (const refusal of await Promise.all(receiving.map(refusedLater))) {
      expect(refusal).toMatchObject(memmapSays('TIMEOUT'));
    }
    // Those that gave up took nothing.
    channel.sendSync(message);
    expect(channel.stats().messages).toBe(1);
  });

  it('ends with a signal, with its reason, in a line or at the head of it', async () => {
    const channel = make();
    const reason = new Error('enough');
    const controller = new AbortController();
    const { signal } = controller;
    const two = [channel.receive({ signal }), channel.receive({ signal })];
    const third = channel.receive();
    controller.abort(reason);
    for (const refusal of await Promise.all(two.map(refusedLater))) expect(refusal).toBe(reason);
    expect(await refusedLater(channel.receive({ signal }))).toBe(reason);
    channel.sendSync(Buffer.from('x'));
    expect(String(await third)).toBe('x');
  });

  it('ends with the handle', async () => {
    const channel = make();
    const others = [another(channel), another(channel)] as const;
    const waiting = [others[0].receive(), others[0].receive(), others[1].peek()];
    setImmediate(() => {
      for (const handle of others) handle.detach();
    });
    for (const refusal of await Promise.all(waiting.map(refusedLater))) {
      expect(refusal).toMatchObject(memmapSays('CLOSED'));
    }
    channel.sendSync(Buffer.from('still here'));
    expect(String(channel.receiveSync())).toBe('still here');
  });

  it('for room: drained says when to go on', async () => {
    const channel = make();
    const receiver = another(channel);
    const message = Buffer.alloc(100);
    let sent = 0;
    while (channel.trySend(message)) sent++;
    const drained = channel.drained();
    for (let index = 0; index < sent; index++) receiver.receiveSync();
    await drained;
    expect(channel.trySend(message)).toBe(true);
  });

  it('for room that lies side by side ends when it is there', async () => {
    const channel = make();
    const receiver = another(channel);
    channel.sendSync(Buffer.alloc(1_500));
    channel.sendSync(Buffer.alloc(600));
    receiver.receiveSync();
    const message = Buffer.alloc(2_000);
    expect(channel.trySend(message)).toBe(false);
    expect(channel.stats().free).toBeGreaterThan(message.length);
    expect(await refusedLater(channel.drained(2_000, { timeout: 5 }))).toMatchObject(
      memmapSays('TIMEOUT'),
    );
    const drained = channel.drained(2_000);
    receiver.receiveSync();
    await drained;
    expect(channel.trySend(message)).toBe(true);
  });

  it('for room lets the rest of the program have its turns', async () => {
    const channel = make();
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    await channel.drained(8);
    expect(turned).toBe(true);
  });

  it('keeps the order of more calls than are served in a row', async () => {
    const channel = make(64 * KIB);
    const numbers = Array.from({ length: 1_000 }, (_, index) => index);
    await Promise.all(numbers.map((number) => channel.send(Buffer.from(String(number)))));
    const got = await Promise.all(numbers.map(() => channel.receive()));
    expect(got.map(Number)).toEqual(numbers);
  });

  it('lets the rest of the program have its turns', async () => {
    const channel = make();
    let turns = 0;
    const ticking = setInterval(() => turns++, 0);
    for (let index = 0; index < 3_000; index++) {
      await channel.send(Buffer.alloc(8));
      await channel.receive();
    }
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(0);
  });
});

describe('the end of a channel', () => {
  it('is drained first, then undefined, for everybody and from either side', async () => {
    const sender = make();
    const receiver = another(sender);
    sender.sendSync(Buffer.from('1'));
    sender.sendSync(Buffer.from('2'));
    receiver.close();
    sender.close();
    expect([sender.closed, receiver.closed]).toEqual([true, true]);
    for (const refusal of [
      refused(() => sender.trySend(Buffer.of(1))),
      refused(() => {
        sender.sendSync(Buffer.of(1));
      }),
      refused(() => receiver.tryReserve(1)),
      await refusedLater(sender.send(Buffer.of(1))),
      await refusedLater(sender.reserve(1)),
      await refusedLater(sender.drained()),
    ]) {
      expect(refusal).toMatchObject(memmapSays('CLOSED'));
    }
    const got = [];
    for await (const message of receiver) got.push(String(message));
    expect(got).toEqual(['1', '2']);
    expect([receiver.receiveSync(), receiver.peekSync(), await sender.receive()]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('comes to those that wait', async () => {
    const channel = make(64);
    const receiver = another(channel);
    const waiting = [receiver.receive(), receiver.peek(), receiver.receiveInto(Buffer.alloc(4))];
    channel.close();
    expect(await Promise.all(waiting)).toEqual([undefined, undefined, undefined]);
    const full = make(64);
    full.sendSync(Buffer.alloc(40));
    const sending = full.send(Buffer.alloc(40));
    another(full).close();
    expect(await refusedLater(sending)).toMatchObject(memmapSays('CLOSED'));
  });

  it('waits for what is still being written, and for what another may give back', async () => {
    const channel = make();
    const writer = another(channel);
    const worker = another(channel);
    channel.sendSync(Buffer.from('job'));
    const draft = await writer.reserve(4);
    const job = worker.tryPeek();
    channel.close();
    const next = channel.receive();
    draft.buffer.write('last');
    draft.commit();
    expect(String(await next)).toBe('last');
    const after = channel.receive();
    job?.requeue();
    expect(String(await after)).toBe('job');
    expect(await channel.receive()).toBeUndefined();
  });

  it('is for others when only one leaves', () => {
    const channel = make();
    another(channel).detach();
    expect(channel.trySend(Buffer.of(1))).toBe(true);
    channel.detach();
    channel.detach();
    for (const call of [
      () => channel.trySend(Buffer.of(1)),
      () => channel.tryReceive(),
      () => channel.stats(),
      () => channel.closed,
      () => {
        channel.close();
      },
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('CLOSED'));
    }
  });
});

describe('in place', () => {
  it('a message is written, shortened and read', async () => {
    const channel = make();
    const draft = await channel.reserve(100);
    expect(draft.buffer.length).toBe(100);
    draft.buffer.write('short');
    expect(channel.tryReceive()).toBeUndefined();
    draft.commit(5);
    const peek = channel.peekSync();
    expect(String(peek?.buffer)).toBe('short');
    expect(peek?.buffer.buffer).toBe(draft.buffer.buffer);
    peek?.release();
    expect(channel.stats()).toMatchObject({ messages: 0, claimed: 0, reserved: 0, used: 0 });
  });

  it('two are written at once, and a slow one does not hold up the other', () => {
    const channel = make();
    const slow = channel.reserveSync(8);
    const quick = channel.reserveSync(8);
    quick.buffer.write('quick');
    quick.commit(5);
    expect(String(channel.tryReceive())).toBe('quick');
    slow.buffer.write('slow');
    slow.commit(4);
    expect(String(channel.tryReceive())).toBe('slow');
  });

  it('a message that is given up leaves nothing', () => {
    const channel = make();
    {
      using draft = channel.reserveSync(8);
      draft.buffer.write('never');
    }
    channel.tryReserve(8)?.abort();
    expect(channel.tryReceive()).toBeUndefined();
    expect(channel.stats()).toMatchObject({ reserved: 0, used: 0 });
  });

  it('a message that is not released comes again', () => {
    const channel = make();
    channel.sendSync(Buffer.from('1'));
    channel.sendSync(Buffer.from('2'));
    {
      using peek = channel.tryPeek();
      expect(String(peek?.buffer)).toBe('1');
      expect(String(another(channel).tryReceive())).toBe('2');
    }
    expect(String(channel.tryReceive())).toBe('1');
  });

  it('what a handle holds is others’ when it leaves', () => {
    const channel = make();
    const leaving = another(channel);
    channel.sendSync(Buffer.from('job'));
    const [draft, peek] = [leaving.tryReserve(8), leaving.tryPeek()];
    leaving.detach();
    expect(refused(() => draft?.commit())).toMatchObject(memmapSays('CLOSED'));
    expect(refused(() => peek?.release())).toMatchObject(memmapSays('CLOSED'));
    expect(String(channel.receiveSync())).toBe('job');
    expect(channel.tryReceive()).toBeUndefined();
    expect(channel.stats()).toMatchObject({ redelivered: 1, abandoned: 1, used: 0 });
  });

  it('each is ended once', () => {
    const channel = make();
    const draft = channel.reserveSync(8);
    expect(
      refused(() => {
        draft.commit(9);
      }),
    ).toMatchObject(memmapSays('RANGE'));
    draft.commit();
    const peek = channel.peekSync();
    peek?.release();
    for (const call of [
      () => {
        draft.commit();
      },
      () => {
        draft.abort();
      },
      () => peek?.release(),
      () => peek?.requeue(),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('ARGUMENT'));
    }
    draft[Symbol.dispose]();
    peek?.[Symbol.dispose]();
  });
});

describe('bad arguments', () => {
  it('are refused, and nothing is sent or taken', async () => {
    const channel = make();
    const message = Buffer.alloc(channel.maxMessage + 1);
    for (const call of [
      () => channel.trySend(message),
      () => channel.tryReserve(message.length),
      () => channel.tryReserve(-1),
      () => channel.tryReserve(1.5),
      () => channel.receiveSync({ timeout: -1 }),
      () => channel.receiveSync({ spin: NaN }),
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('RANGE'));
    }
    channel.sendSync(Buffer.of(1));
    for (const call of [
      () => channel.tryReserve('8' as unknown as number),
      () => channel.tryReceiveInto('x' as unknown as Buffer),
      () => channel.receiveSync({ timeout: '1' as unknown as number }),
      () => channel.receiveSync({ timout: 1 } as object),
      () => {
        channel.sendSync(Buffer.of(1), { signal: 1 } as object);
      },
    ]) {
      expect(refused(call)).toMatchObject(memmapSays('ARGUMENT'));
    }
    const waiting = [
      channel.receive({ signal: {} as AbortSignal }),
      channel.receive(5 as unknown as object),
      channel.drained('1' as unknown as number),
    ];
    for (const refusal of await Promise.all(waiting.map(refusedLater))) {
      expect(refusal).toMatchObject(memmapSays('ARGUMENT'));
    }
    expect(await refusedLater(channel.drained(channel.maxMessage + 1))).toMatchObject(
      memmapSays('RANGE'),
    );
    expect(channel.stats().messages).toBe(1);
  });

  it('of a new channel are refused', () => {
    const mapping = mapAnonymous(64 * KIB, { shared: true });
    for (const [call, kind] of [
      [() => Channel.create(null, { capacity: 63 }), 'RANGE'],
      [() => Channel.create(null, {} as { capacity: number }), 'ARGUMENT'],
      [() => Channel.create(null, { capacity: 64, mode: 0o600 }), 'ARGUMENT'],
      [() => Channel.create(null, { capacity: 64, codec: 'xml' as 'json' }), 'ARGUMENT'],
      [() => new Channel({} as unknown as SharedMemory), 'ARGUMENT'],
      [() => new Channel(mapping, { ref: 1 as unknown as boolean }), 'ARGUMENT'],
      [() => new Channel(mapping, { offset: 1 }), 'ARGUMENT'],
      [() => new Channel(mapping, { length: 9023 }), 'RANGE'],
      [() => new Channel(mapping, { offset: 60 * KIB }), 'RANGE'],
      [() => new Channel(mapping, { length: 65 * KIB }), 'RANGE'],
      [() => new Channel(mapAnonymous(64 * KIB)), 'UNSUPPORTED'],
    ] as const) {
      expect(refused(call)).toMatchObject(memmapSays(kind));
    }
    expect(mapping.buffer.every((byte) => byte === 0)).toBe(true);
    mapping.unmap();
  });
});

describe('memory of one’s own', () => {
  it('has several channels, and nothing around them is touched', () => {
    const mapping = mapAnonymous(64 * KIB, { shared: true });
    mapping.buffer
      .fill(0xee, 0, KIB)
      .fill(0xee, 21 * KIB, 22 * KIB)
      .fill(0xee, 42 * KIB);
    const first = new Channel(mapping, { offset: KIB, length: 20 * KIB });
    const second = new Channel(mapping, { offset: 22 * KIB, length: 20 * KIB });
    const again = new Channel(mapping, { offset: 22 * KIB });
    expect([first.capacity, second.capacity, again.capacity]).toEqual([11_520, 11_520, 11_520]);
    for (let lap = 0; lap < 1000; lap++) {
      first.sendSync(Buffer.alloc(50, 1));
      second.sendSync(Buffer.alloc(60, 2));
      expect([first.tryReceive()?.[49], again.tryReceive()?.[59]]).toEqual([1, 2]);
    }
    for (const [from, to] of [
      [0, 1],
      [21, 22],
      [42, 64],
    ] as const) {
      expect(mapping.buffer.subarray(from * KIB, to * KIB).every((byte) => byte === 0xee)).toBe(
        true,
      );
    }
    expect(
      refused(() => {
        mapping.unmap();
      }),
    ).toMatchObject(memmapSays('BUSY'));
    for (const channel of [first, second, again]) channel.detach();
    expect(mapping.state).toBe('mapped');
    mapping.unmap();
  });

  it('with something else in it is refused', () => {
    const mapping = mapAnonymous(64 * KIB, { shared: true });
    const words = new Int32Array(mapping.buffer.buffer, mapping.buffer.byteOffset, 16);
    new Channel(mapping, { length: 20 * KIB }).detach();
    const [magic = 0, version = 0, units = 0] = words;
    expect(refused(() => new Channel(mapping, { length: 21 * KIB }))).toMatchObject(
      memmapSays('ARGUMENT'),
    );
    for (const [index, value] of [
      [0, 1],
      [1, version + 1],
      [2, 0],
      [2, 2 ** 30],
      [2, -1],
      [3, 127],
    ] as const) {
      words.set([magic, version, units, 128]);
      words[index] = value;
      expect(refused(() => new Channel(mapping))).toMatchObject(memmapSays('CORRUPT'));
    }
    words.set([0, 5, 0, 0]);
    expect(refused(() => new Channel(mapping))).toMatchObject(memmapSays('CORRUPT'));
    mapping.unmap();
  });

  it('is formatted once, whoever was killed while he did it', () => {
    const mapping = mapAnonymous(20 * KIB, { shared: true });
    const words = new Int32Array(mapping.buffer.buffer, mapping.buffer.byteOffset, 16);
    new Channel(mapping).detach();
    const constants = [...words];
    for (const missing of [[0], [0, 3], [0, 1, 3]]) {
      for (const index of missing) words[index] = 0;
      new Channel(mapping).detach();
      expect([...words]).toEqual(constants);
    }
    mapping.unmap();
  });

  it('has room for 128 handles', () => {
    const channel = make();
    const handles = Array.from({ length: 127 }, () => another(channel));
    expect(refused(() => another(channel))).toMatchObject(memmapSays('NO_ROOM'));
    expect(channel.stats().participants).toBe(128);
    handles[5]?.detach();
    another(channel).sendSync(Buffer.of(1));
    expect(channel.stats()).toMatchObject({ participants: 128, senders: 1 });
  });
});

describe('a name', () => {
  it('is made, opened and taken away', () => {
    const name = nameOf('named');
    try {
      const made = Channel.create(name, {
        capacity: KIB,
        codec: 'utf8',
        mode: 0o600,
        lifetime: 'processes',
      });
      const opened = Channel.open(name, { codec: 'utf8' });
      made.sendSync('hello');
      expect([opened.receiveSync(), opened.capacity]).toEqual(['hello', KIB]);
      expect(refused(() => Channel.create(name, { capacity: KIB }))).toMatchObject({
        code: 'EEXIST',
      });
      const third = Channel.create(name, { capacity: KIB, exclusive: false });
      expect(third.stats().participants).toBe(3);
      made.shared?.unlink();
      for (const channel of [made, opened, third]) channel.detach();
      expect(made.shared?.closed).toBe(true);
      expect(refused(() => Channel.open(name))).toMatchObject({ code: 'ENOENT' });
    } finally {
      try {
        SharedMemory.unlink(name);
      } catch {
        // As it should be.
      }
    }
  });

  it('of something else is refused', () => {
    const name = nameOf('other');
    const shared = SharedMemory.create(name, { size: 64 * KIB });
    try {
      expect(refused(() => Channel.open(name))).toMatchObject(memmapSays('CORRUPT'));
    } finally {
      shared.unlink();
      shared.close();
    }
  });
});

it('shows itself', () => {
  const channel = make(KIB);
  expect(inspect(channel)).toBe("Channel { 1024 bytes, 'bytes' }");
});
