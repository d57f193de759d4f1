import { Channel } from '../../lib/index.js';

const failing = (codec: 'utf8' | 'json' | 'v8', message: unknown): unknown => {
  const channel = Channel.create(null, { capacity: 4096, codec });
  try {
    channel.trySend(message);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    channel.close();
  }
};

it.each([
  ['json', 1n, /BigInt/],
  ['v8', () => 0, /could not be cloned/],
  [
    'json',
    {
      toJSON: () => {
        throw new RangeError('mine');
      },
    },
    /mine/,
  ],
] as const)(
  'a message that codec %s cannot encode is ERR_MEMMAP_CODEC with its cause',
  (codec, message, cause) => {
    const error = failing(codec, message) as Error;
    expect(error).toMatchObject({ code: 'ERR_MEMMAP_CODEC', argument: 'message' });
    expect((error.cause as Error).message).toMatch(cause);
  },
);

it("a lone surrogate is refused by 'utf8', and kept by 'json'", () => {
  expect(failing('utf8', 'a\ud800b')).toMatchObject({ code: 'ERR_MEMMAP_CODEC' });
  const channel = Channel.create(null, { capacity: 4096, codec: 'json' });
  expect(channel.trySend('a\ud800b')).toBe(true);
  expect(channel.tryReceive()).toBe('a\ud800b');
  channel.close();
});

it.each(['utf8', 'json'] as const)(
  'bytes that are not UTF-8 are ERR_MEMMAP_CODEC for %s',
  (codec) => {
    const bytes = Channel.create(null, { capacity: 4096 });
    const text = new Channel(bytes.shared!, { codec });
    expect(bytes.trySend(Buffer.from([0x22, 0xff, 0x22]))).toBe(true);
    expect(() => text.tryReceive()).toThrow(
      expect.objectContaining({
        code: 'ERR_MEMMAP_CODEC',
        bytes: Buffer.from([0x22, 0xff, 0x22]),
      }) as Error,
    );
    text.close();
    bytes.close();
  },
);
