import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { buffer as collected } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { mapAnonymous, mapFileSync, pageSize, registry } from '../lib/index.js';
import { Scratch } from './helpers/files.js';

const scratch = new Scratch();
const bytes = randomBytes(5 * 2 ** 20);
const path = scratch.file(bytes);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

describe.each([
  ['a guarded mapping', true],
  ['a mapping without a guard', false],
])('indexOf and lastIndexOf of %s', (_name, guard) => {
  const map = (offset = 0) => mapFileSync(path, { offset, guard });

  it('agree with those of Buffer at every kind of place', () => {
    const m = map(3);
    const expected = bytes.subarray(3);
    const places = [0, 1, 4093, 2 ** 20, 2 ** 22 - 7, expected.length - 40];
    for (const at of places) {
      const needle = expected.subarray(at, at + 40);
      expect(m.indexOf(needle)).toBe(at);
      expect(m.lastIndexOf(needle)).toBe(at);
    }
    const byte = expected.subarray(1000, 1001);
    expect(m.indexOf(byte)).toBe(expected.indexOf(byte));
    expect(m.lastIndexOf(byte)).toBe(expected.lastIndexOf(byte));
  });

  it('look only at bytes that lie wholly within the range', () => {
    const m = map();
    const needle = bytes.subarray(2 ** 22 - 8, 2 ** 22 + 8);
    const at = 2 ** 22 - 8;
    expect(m.indexOf(needle, { offset: at, length: 16 })).toBe(at);
    expect(m.indexOf(needle, { offset: at, length: 15 })).toBe(-1);
    expect(m.indexOf(needle, { offset: at + 1 })).toBe(-1);
    expect(m.lastIndexOf(needle, { length: at + 16 })).toBe(at);
    expect(m.lastIndexOf(needle, { length: at + 15 })).toBe(-1);
    expect(m.indexOf('', { offset: 7n })).toBe(7);
    expect(m.lastIndexOf('', { offset: 7, length: 2 })).toBe(9);
  });
});

it('indexOf finds what lies beyond 4 GiB of a sparse file', () => {
  const sparse = scratch.path('sparse');
  const fd = fs.openSync(sparse, 'w');
  const at = 5 * 2 ** 30 - 3;
  fs.writeSync(fd, 'needle', at);
  fs.closeSync(fd);
  const m = mapFileSync(sparse);
  expect(m.lastIndexOf('needle')).toBe(at);
  expect(m.indexOf('needle', { offset: 5n * 2n ** 30n - 100n })).toBe(at);
});

it('indexOf throws the fault of a file that was cut short', () => {
  const cut = scratch.file(Buffer.alloc(3 * pageSize));
  const m = mapFileSync(cut);
  fs.truncateSync(cut, pageSize);
  expect(() => m.indexOf('x')).toThrow(
    expect.objectContaining({ code: 'ERR_MEMMAP_FAULT', kind: 'truncated' }) as Error,
  );
  m.once('fault', () => undefined);
});

it('indexOf refuses what it cannot search', () => {
  const m = mapFileSync(path);
  expect(() => m.indexOf(5 as never)).toThrow(
    expect.objectContaining({ code: 'ERR_MEMMAP_ARGUMENT' }) as Error,
  );
  expect(() => m.indexOf('x', { offset: bytes.length + 1 })).toThrow(
    expect.objectContaining({ code: 'ERR_MEMMAP_RANGE' }) as Error,
  );
  m.unmap();
  expect(() => m.indexOf('x')).toThrow(
    expect.objectContaining({ code: 'ERR_MEMMAP_UNMAPPED' }) as Error,
  );
});

describe('hash', () => {
  it.each(['sha256', 'md5', 'sha512'])(
    '%s is the digest that node:crypto computes',
    async (name) => {
      const m = mapFileSync(path, { offset: 5 });
      const expected = createHash(name).update(bytes.subarray(5)).digest('hex');
      expect((await m.hash(name)).toString('hex')).toBe(expected);
      const part = createHash(name).update(bytes.subarray(1005, 3005)).digest('hex');
      expect((await m.hash(name, { offset: 1000, length: 2000 })).toString('hex')).toBe(part);
    },
  );

  it('holds the mapping in place and reports progress', async () => {
    const m = mapAnonymous(20 * 2 ** 20);
    const seen: number[] = [];
    const done = m.hash('sha1', {}, { onProgress: (progress) => seen.push(progress.done) });
    expect(() => {
      m.unmap();
    }).toThrow(expect.objectContaining({ code: 'ERR_MEMMAP_BUSY' }) as Error);
    await done;
    expect(seen.at(-1)).toBe(m.length);
    expect(seen.length).toBeGreaterThan(1);
  });

  it('stops when its signal aborts, and refuses an unknown algorithm', async () => {
    const m = mapFileSync(path);
    await expect(m.hash('sha1', {}, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    await expect(m.hash('no-such-digest')).rejects.toMatchObject({
      code: 'ERR_MEMMAP_ARGUMENT',
      argument: 'algorithm',
    });
  });

  it('rejects where the file was cut short', async () => {
    const cut = scratch.file(Buffer.alloc(3 * pageSize));
    const m = mapFileSync(cut);
    fs.truncateSync(cut, pageSize);
    await expect(m.hash('sha1')).rejects.toMatchObject({ code: 'EFAULT' });
  });
});

describe('stream', () => {
  it('delivers every byte of the range, to a file and to a web reader', async () => {
    const m = mapFileSync(path);
    const target = scratch.path('copy');
    await pipeline(m.stream({ offset: 7 }, { chunkSize: 100_000 }), fs.createWriteStream(target));
    expect(fs.readFileSync(target).equals(bytes.subarray(7))).toBe(true);
    const web = m.stream({ length: 300_000 }, { kind: 'web' });
    expect((await collected(web)).equals(bytes.subarray(0, 300_000))).toBe(true);
  });

  it('pins the mapping from the first read until it is closed', async () => {
    const m = mapFileSync(path);
    const stream = m.stream();
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.read(1);
    await new Promise((resolve) => stream.once('readable', resolve));
    expect(() => {
      m.unmap();
    }).toThrow(expect.objectContaining({ code: 'ERR_MEMMAP_BUSY' }) as Error);
    stream.destroy();
    await closed;
    m.unmap();
    expect(m.state).toBe('unmapped');
  });

  it('fails with ERR_MEMMAP_UNMAPPED where the mapping went before it was read', async () => {
    const m = mapFileSync(path);
    const stream = m.stream();
    m.unmap();
    await expect(collected(stream)).rejects.toMatchObject({ code: 'ERR_MEMMAP_UNMAPPED' });
  });
});

describe('lines', () => {
  const linesIn = async (text: string): Promise<string[]> => {
    const m = mapFileSync(scratch.file(text));
    const found: string[] = [];
    for await (const line of m.lines()) found.push(line);
    return found;
  };

  it('end with LF or CR LF, and the last may have no end', async () => {
    expect(await linesIn('a\n\r\nbc\r\n\rd')).toEqual(['a', '', 'bc', '\rd']);
    expect(await linesIn('')).toEqual([]);
    expect(await linesIn('\n')).toEqual(['']);
  });

  it('may be longer than what is looked at in one piece', async () => {
    const long = 'é'.repeat(2 ** 20);
    const texts = [long, 'short', `${long}${long}`];
    expect(await linesIn(texts.join('\n'))).toEqual(texts);
  });

  it('are views with encoding buffer', async () => {
    const m = mapFileSync(scratch.file('one\ntwo'));
    const found: Buffer[] = [];
    for await (const line of m.lines({}, { encoding: 'buffer' })) found.push(line);
    expect(found.map(String)).toEqual(['one', 'two']);
    m.unmap();
    expect(found.map(({ length }) => length)).toEqual([0, 0]);
  });
});

it('chunks are views of one size that cover the range', () => {
  const m = mapFileSync(path);
  const chunks = [...m.chunks(1_000_000, { offset: 3 })];
  expect(chunks.map(({ length }) => length)).toEqual([1e6, 1e6, 1e6, 1e6, 1e6, 242_877]);
  expect(Buffer.concat(chunks).equals(bytes.subarray(3))).toBe(true);
  expect(() => [...m.chunks(0)]).toThrow(
    expect.objectContaining({ code: 'ERR_MEMMAP_RANGE' }) as Error,
  );
});
