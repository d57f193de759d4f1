// Digests of a mapping on the thread pool, by the OpenSSL that Node has.
import { createHash } from 'node:crypto';
import { check, checkLater, native } from '../binding.js';
import { type LongCallOptions, during } from '../chunks.js';
import { misuse } from '../errors.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import type { MappingRecord } from '../record.js';
import { type ByteRange, describe } from '../validate.js';

const PIECE = 2 ** 23;
const LOOP_PIECE = 2 ** 20;

interface Digest {
  readonly update: (offset: number, length: number) => Promise<void>;
  readonly finish: () => Buffer;
  readonly piece: number;
}

function unknown(algorithm: unknown): Error {
  return misuse(
    'ARGUMENT',
    `algorithm must be one of crypto.getHashes(); got ${describe(algorithm)}`,
    {
      argument: 'algorithm',
    },
  );
}

const placeOf = (record: MappingRecord, offset: number, length: number) => ({
  address: BigInt(record.address + offset),
  length,
  offset,
  path: record.contents.path,
});

/** Through a copy, so that a page that cannot be read is an error and no signal. */
function digestOf(mapping: Mapping, record: MappingRecord, algorithm: string): Digest {
  const digest = native.openDigest(algorithm);
  if (digest !== undefined) {
    const state = check(digest);
    return {
      piece: PIECE,
      update: async (offset, length) => {
        const work = native.updateDigestAsync(state, record.start, record.lead + offset, length);
        await checkLater(work, placeOf(record, offset, length));
      },
      finish: () => Buffer.from(check(native.finishDigest(state))),
    };
  }
  // A runtime whose OpenSSL cannot be reached, or an algorithm of a provider: on the event loop.
  const hash = hashFor(algorithm);
  return {
    piece: LOOP_PIECE,
    update: async (offset, length) => {
      hash.update(await mapping.readAsync(offset, length));
    },
    finish: () => hash.digest(),
  };
}

function hashFor(algorithm: string) {
  try {
    return createHash(algorithm);
  } catch {
    throw unknown(algorithm);
  }
}

export async function hashOf(
  mapping: Mapping,
  algorithm: unknown,
  call: { readonly range: ByteRange; readonly options: LongCallOptions },
): Promise<Buffer> {
  if (typeof algorithm !== 'string' || algorithm.includes('\0')) throw unknown(algorithm);
  const { signal, onProgress } = call.options;
  const { offset, length } = call.range;
  const record = liveOf(mapping);
  const digest = digestOf(mapping, record, algorithm);
  return during(record, 'hash()', async () => {
    for (let done = 0; done < length; done += digest.piece) {
      signal?.throwIfAborted();
      const size = Math.min(digest.piece, length - done);
      await digest.update(offset + done, size);
      onProgress?.({ done: done + size, total: length });
    }
    signal?.throwIfAborted();
    return digest.finish();
  });
}
