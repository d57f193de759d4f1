import fc from 'fast-check';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { join } from 'node:path';
import { Latest, type Mapping, SharedMemory, mapAnonymous } from '../../lib/index.js';
import { shapeOf } from '../../lib/shared/latest-shape.js';

const root = join(__dirname, '..', '..');
const memory = (bytes = 2 ** 16): Mapping => mapAnonymous(bytes, { shared: true });
const code = (kind: string): Error =>
  expect.objectContaining({ code: `ERR_MEMMAP_${kind}` }) as Error;
const text = (value: Buffer | undefined): string | undefined => value?.toString();

describe('a Latest', () => {
  it('gives the newest value to each reader, and nothing before the first', () => {
    const latest = new Latest(memory(), { size: 64 });
    const [one, two] = [latest.reader(), latest.reader()];
    const target = Buffer.alloc(64);
    expect([one.read(), one.view(), one.readInto(target), one.version, one.changed]).toEqual([
      undefined,
      undefined,
      undefined,
      0,
      false,
    ]);
    const writer = latest.writer();
    expect(writer.write('first')).toBe(1);
    expect([one.changed, one.version]).toEqual([true, 0]);
    expect([text(one.read()), one.version, one.changed]).toEqual(['first', 1, false]);
    expect([writer.write('second'), writer.write(Buffer.from('third')), writer.version]).toEqual([
      2, 3, 3,
    ]);
    expect([text(one.read()), text(two.read()), two.version]).toEqual(['third', 'third', 3]);
    expect(two.readInto(target)).toBe(5);
    expect(target.toString('latin1', 0, 5)).toBe('third');
    latest.close();
  });

  it('has values of any length up to its size', () => {
    const latest = new Latest(memory(), { size: 100 });
    const [writer, reader] = [latest.writer(), latest.reader()];
    const target = new Uint16Array(50);
    for (const length of [100, 0, 1, 63, 64, 65, 100, 0, 0, 99]) {
      const value = Buffer.alloc(length, length);
      writer.write(value);
      expect(reader.read()).toEqual(value);
      expect(reader.view()).toEqual(value);
      expect(reader.readInto(target)).toBe(length);
      expect(Buffer.from(target.buffer, 0, length)).toEqual(value);
    }
    expect(() => writer.write(Buffer.alloc(101))).toThrow(code('RANGE'));
    writer.write(Buffer.alloc(7));
    expect(() => reader.readInto(Buffer.alloc(6))).toThrow(code('RANGE'));
    expect(reader.readInto(Buffer.alloc(7))).toBe(7);
    latest.close();
  });

  it('is written in place: nobody sees it before it is published', () => {
    const latest = new Latest(memory(), { size: 64 });
    const [writer, reader] = [latest.writer(), latest.reader()];
    expect(() => writer.publish()).toThrow(code('ARGUMENT'));
    writer.write('before');
    const bytes = writer.reserve();
    expect(bytes).toHaveLength(64);
    bytes.fill('x');
    expect([text(reader.read()), reader.changed]).toEqual(['before', false]);
    expect(() => writer.publish(65)).toThrow(code('RANGE'));
    expect(writer.publish(3)).toBe(2);
    expect(text(reader.read())).toBe('xxx');
    writer.reserve().fill('y');
    writer.write('instead');
    expect(() => writer.publish()).toThrow(code('ARGUMENT'));
    writer.reserve().fill('z');
    writer.publish();
    expect(text(reader.read())).toBe('z'.repeat(64));
    latest.close();
  });

  it('does not touch the value that a reader looks at', () => {
    const latest = new Latest(memory(), { size: 8, readers: 2 });
    const [writer, slow, quick] = [latest.writer(), latest.reader(), latest.reader()];
    writer.write('held');
    const held = slow.view();
    for (let i = 0; i < 100; i++) {
      writer.write(`new ${String(i)}`);
      expect(text(quick.view())).toBe(`new ${String(i)}`);
      expect([text(held), slow.version, slow.changed]).toEqual(['held', 1, true]);
    }
    expect([text(slow.view()), slow.version]).toEqual(['new 99', 101]);
    latest.close();
  });

  it('goes on with the next writer, where the last one was', () => {
    const mapping = memory();
    const latest = new Latest(mapping, { size: 64 });
    const other = new Latest(mapping);
    const writer = latest.writer();
    expect([latest.hasWriter, other.hasWriter]).toEqual([true, true]);
    expect(() => latest.writer()).toThrow(code('BUSY'));
    expect(() => other.writer()).toThrow(code('BUSY'));
    writer.write('one');
    const reader = other.reader();
    const held = reader.view();
    writer.close();
    writer.close();
    expect(() => writer.write('more')).toThrow(code('CLOSED'));
    expect(() => writer.reserve()).toThrow(code('CLOSED'));
    const next = other.writer();
    expect([next.version, latest.hasWriter]).toEqual([1, true]);
    for (let i = 0; i < 100; i++) next.write('two');
    expect([text(held), text(reader.read()), reader.version]).toEqual(['one', 'two', 101]);
    other.close();
    expect(latest.hasWriter).toBe(false);
    latest.close();
    expect(() => latest.hasWriter).toThrow(code('CLOSED'));
  });

  it('closes all that it gave, whatever somebody wrote over one of them', () => {
    const sizes = { size: 100, readers: 4 };
    using shared = SharedMemory.create(null, { size: Latest.bytesFor(sizes) });
    const latest = new Latest(shared, sizes);
    const [one, two, writer] = [latest.reader(), latest.reader(), latest.writer()];
    const { mapping } = latest;
    const cell = shapeOf(sizes).readerCells;
    mapping.buffer.fill(0x45, cell, cell + 4);
    expect(() => {
      latest.close();
    }).toThrow(code('CORRUPT'));
    latest.close();
    expect(mapping.state).toBe('unmapped');
    for (const reader of [one, two]) expect(() => reader.read()).toThrow(code('CLOSED'));
    expect(() => writer.write('more')).toThrow(code('CLOSED'));
    const next = new Latest(shared);
    expect(next.writer().write('goes on')).toBe(1);
    next.close();
  });

  it.each([1, 24, 25, 60, 253])(
    'has room for %d readers, and for others when they close',
    (readers) => {
      const latest = new Latest(memory(2 ** 17), { size: 8, readers });
      expect(latest.readers).toBe(readers);
      const writer = latest.writer();
      const all = Array.from({ length: readers }, () => latest.reader());
      expect(() => latest.reader()).toThrow(code('NO_ROOM'));
      const held = all.map((reader, i) => {
        writer.write(String(i));
        return reader.view();
      });
      expect(held.map(text)).toEqual(all.map((_, i) => String(i)));
      all[0]?.close();
      expect(() => all[0]?.read()).toThrow(code('CLOSED'));
      const late = latest.reader();
      expect(text(late.read())).toBe(String(readers - 1));
      latest.close();
    },
  );

  it('closes what it gave, and keeps the mapping in its place until then', () => {
    const mapping = memory();
    const latest = new Latest(mapping, { size: 8 });
    const [reader, writer] = [latest.reader(), latest.writer()];
    expect(() => mapping.unmap()).toThrow(code('BUSY'));
    latest.close();
    latest.close();
    for (const act of [
      () => reader.read(),
      () => reader.changed,
      () => reader.version,
      () => writer.write(''),
      () => latest.reader(),
      () => latest.writer(),
    ]) {
      expect(act).toThrow(code('CLOSED'));
    }
    mapping.unmap();
  });
});

describe('waiting for a value', () => {
  it('ends at once where there is a newer one, and reads it', async () => {
    const latest = new Latest(memory(), { size: 8 });
    const [writer, reader] = [latest.writer(), latest.reader()];
    writer.write('1');
    reader.waitSync();
    await reader.wait();
    expect(text(await reader.next())).toBe('1');
    expect(() => reader.waitSync({ timeout: 5, spin: 0 })).toThrow(code('TIMEOUT'));
    await expect(reader.next({ timeout: 5 })).rejects.toThrow(code('TIMEOUT'));
    latest.close();
  });

  it('is woken by a write', async () => {
    const latest = new Latest(memory(), { size: 8 });
    const [writer, reader, other] = [latest.writer(), latest.reader(), latest.reader()];
    for (let i = 0; i < 50; i++) {
      const both = [reader.next(), other.next()];
      if (i % 2 === 0) await new Promise(setImmediate);
      writer.write(String(i));
      expect((await Promise.all(both)).map(text)).toEqual([String(i), String(i)]);
    }
    latest.close();
  });

  it('is stopped by a signal, with its reason', async () => {
    const latest = new Latest(memory(), { size: 8 });
    const reader = latest.reader();
    const stop = new AbortController();
    const waits = reader.next({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waits).rejects.toThrow('enough');
    await expect(reader.wait({ signal: stop.signal })).rejects.toThrow('enough');
    latest.close();
  });

  it('ends with the reader, also when its memory goes at once', async () => {
    const shared = Latest.create(null, { size: 8 });
    const [reader, other] = [shared.reader(), shared.reader()];
    const waits = reader.next();
    reader.close();
    await expect(waits).rejects.toThrow(code('CLOSED'));
    const waitsToo = other.next();
    shared.close();
    await expect(waitsToo).rejects.toThrow(code('CLOSED'));
  });

  it('goes on for each value that is not too late', async () => {
    const latest = new Latest(memory(), { size: 8 });
    const [writer, reader] = [latest.writer(), latest.reader()];
    const seen: string[] = [];
    writer.write('0');
    for await (const value of reader) {
      seen.push(value.toString());
      if (seen.length === 5) reader.close();
      else setImmediate(() => writer.write(String(seen.length)));
    }
    expect(seen).toEqual(['0', '1', '2', '3', '4']);
    latest.close();
  });

  it('wakes a thread that is blocked', async () => {
    const latest = Latest.create(null, { size: 8 });
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { Latest, SharedMemory } = require(workerData.root);
      const reader = new Latest(SharedMemory.fromFd(workerData.fd)).reader();
      parentPort.postMessage('ready');
      reader.waitSync({ spin: 0 });
      parentPort.postMessage(reader.read().toString());
      parentPort.close();`;
    const worker = new Worker(source, { eval: true, workerData: { root, fd: latest.shared?.fd } });
    // Watched from the start: a worker may end in the turn of its last message.
    const ended = once(worker, 'exit');
    await once(worker, 'message');
    latest.writer().write('awake');
    expect(await once(worker, 'message')).toEqual(['awake']);
    await ended;
    latest.close();
  });
});

describe('the memory of a Latest', () => {
  const name = `memmap-test-${String(process.pid)}-latest`;
  afterEach(() => {
    for (const { name: left } of SharedMemory.list()) {
      if (left.startsWith(name)) SharedMemory.unlink(left);
    }
  });

  it('has a name, if it is given one', () => {
    const latest = Latest.create(name, { size: 100, readers: 3 });
    expect(() => Latest.create(name, { size: 100 })).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
    const other = Latest.open(name);
    expect([other.size, other.readers, other.shared?.name]).toEqual([100, 3, latest.shared?.name]);
    latest.writer().write('by name');
    expect(text(other.reader().read())).toBe('by name');
    const same = Latest.create(name, { size: 100, readers: 3, exclusive: false });
    expect(text(same.reader().read())).toBe('by name');
    expect(() => Latest.create(name, { size: 99, readers: 3, exclusive: false })).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^ERR_MEMMAP_(ARGUMENT|RANGE)$/) as string,
      }),
    );
    for (const each of [latest, other, same]) each.close();
    expect(other.shared?.closed).toBe(true);
  });

  it('can be a part of other memory, beside others', () => {
    const bytes = Latest.bytesFor({ size: 100, readers: 2 });
    const mapping = memory(2 * bytes + 64);
    const [one, two] = [0, bytes].map(
      (offset) => new Latest(mapping, { offset, size: 100, readers: 2 }),
    );
    one?.writer().write('a'.repeat(100));
    two?.writer().write('b'.repeat(100));
    expect(text(one?.reader().read())).toBe('a'.repeat(100));
    expect(text(two?.reader().read())).toBe('b'.repeat(100));
    expect(mapping.read(2 * bytes, 64)).toEqual(Buffer.alloc(64));
    expect(() => new Latest(mapping, { offset: 2 * bytes, size: 1 })).toThrow(code('RANGE'));
  });

  it('is made once, whoever comes first', () => {
    const mapping = memory();
    expect(() => new Latest(mapping)).toThrow(code('ARGUMENT'));
    new Latest(mapping, { size: 64, readers: 5 });
    expect(new Latest(mapping, { size: 64 }).readers).toBe(5);
    expect(new Latest(mapping).size).toBe(64);
    expect(() => new Latest(mapping, { size: 65 })).toThrow(code('ARGUMENT'));
    expect(() => new Latest(mapping, { size: 64, readers: 6 })).toThrow(code('ARGUMENT'));
  });

  it.each([
    [{ size: 0 }, 'RANGE'],
    [{ size: 2 ** 31 }, 'RANGE'],
    [{ size: 1.5 }, 'RANGE'],
    [{ size: NaN }, 'RANGE'],
    [{ size: '1' }, 'ARGUMENT'],
    [{ size: 2 ** 53 }, 'RANGE'],
    [{ size: 1, readers: 0 }, 'RANGE'],
    [{ size: 1, readers: 254 }, 'RANGE'],
    [{ size: 1, offset: 8 }, 'ARGUMENT'],
    [{ size: 1, offset: -64 }, 'RANGE'],
    [{ size: 1, offset: 2 ** 52 }, 'RANGE'],
    [{ size: 2 ** 16 }, 'RANGE'],
    [{ sise: 1 }, 'ARGUMENT'],
  ] as const)('refuses %j', (options, kind) => {
    const mapping = memory();
    expect(() => new Latest(mapping, options as never)).toThrow(code(kind));
    expect(mapping.read(0, 64)).toEqual(Buffer.alloc(64));
  });

  it('is shared and writable', () => {
    expect(() => new Latest(mapAnonymous(2 ** 16), { size: 1 })).toThrow(code('UNSUPPORTED'));
    const mapping = memory();
    mapping.protect('read');
    expect(() => new Latest(mapping, { size: 1 })).toThrow(code('READ_ONLY'));
    for (const bad of [undefined, null, {}, Buffer.alloc(9)]) {
      expect(() => new Latest(bad as never)).toThrow(code('ARGUMENT'));
    }
  });

  it('may hold garbage: that is an error, never a crash or an endless loop', () => {
    const sizes = { size: 40, readers: 3 };
    const words = Latest.bytesFor(sizes) / 4;
    const word = fc.oneof(
      fc.integer(),
      fc.constantFrom(0, -1, 1, 2 ** 24, 5 * 2 ** 24, 6 * 2 ** 24),
    );
    const garbage = fc.array(fc.tuple(fc.nat(words - 1), word), { minLength: 1, maxLength: 12 });
    const known = ['CORRUPT', 'ARGUMENT', 'BUSY', 'NO_ROOM', 'CLOSED', 'TIMEOUT'];
    const quietly = (act: () => unknown): void => {
      try {
        act();
      } catch (error) {
        const { code: said = '' } = error as { code?: string };
        if (!known.includes(said.replace('ERR_MEMMAP_', ''))) throw error;
      }
    };
    fc.assert(
      fc.property(garbage, garbage, (early, late) => {
        const mapping = memory();
        const view = new Int32Array(mapping.buffer.buffer, mapping.buffer.byteOffset, words);
        const latest = new Latest(mapping, sizes);
        const use = (each: Latest): void => {
          quietly(() => each.writer().write('x'));
          quietly(() => {
            const reader = each.reader();
            for (let i = 0; i < 3; i++) {
              expect(reader.read()?.length ?? 0).toBeLessThanOrEqual(40);
              expect(reader.version).toBeGreaterThanOrEqual(0);
              quietly(() => reader.waitSync({ timeout: 0, spin: 0 }));
            }
          });
        };
        for (const [at, value] of early) view[at] = value;
        use(latest);
        quietly(() => use(new Latest(mapping)));
        for (const [at, value] of late) view[at] = value;
        use(latest);
        quietly(() => latest.close());
      }),
      { numRuns: 300 },
    );
  });
});
