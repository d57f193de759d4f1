import fs from 'node:fs';
import {
  type LongCallOptions,
  type Mapping,
  type Progress,
  mapAnonymous,
  mapFileSync,
  pageSize,
  registry,
  sys,
} from '../lib/index.js';
import { Scratch, patterned, pythonReads } from './helpers/files.js';
import { regionAt } from './helpers/kernel.js';
import { kernelSays, memmapSays, refused, refusedLater } from './helpers/refusals.js';

const MIB = 2 ** 20;
const LENGTH = 80 * MIB + 5;

const scratch = new Scratch();
const path = scratch.path();

beforeAll(() => {
  fs.writeFileSync(path, patterned(64 * 1024));
  fs.truncateSync(path, LENGTH);
});
afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

const mapped = (): Mapping => mapFileSync(path, { access: 'read-write' });
const pages = Math.ceil(LENGTH / pageSize) * pageSize;

interface LongCall {
  readonly name: string;
  readonly total: number;
  /** How many bytes one piece has. */
  readonly piece: number;
  readonly call: (m: Mapping, options?: LongCallOptions) => Promise<unknown>;
}

const calls: LongCall[] = [
  {
    name: 'flush',
    total: pages,
    piece: 32 * MIB,
    call: (m, options) => m.flush(undefined, options),
  },
  {
    name: 'prefetch',
    total: pages,
    piece: 32 * MIB,
    call: (m, options) => m.prefetch({}, options),
  },
  {
    name: 'lockAsync',
    total: pages,
    piece: 32 * MIB,
    call: (m, options) => m.lockAsync({}, options),
  },
  {
    name: 'readAsync',
    total: 3 * MIB + 1,
    piece: MIB,
    call: (m, options) => m.readAsync(0, 3 * MIB + 1, options),
  },
  {
    name: 'writeAsync',
    total: 3 * MIB + 1,
    piece: MIB,
    call: (m, options) => m.writeAsync(0, Buffer.alloc(3 * MIB + 1), options),
  },
];

describe.each(calls)('$name', ({ name, total, piece, call }) => {
  it('reports progress in bytes, piece by piece, to the end', async () => {
    const seen: Progress[] = [];
    await call(mapped(), { onProgress: (progress) => seen.push(progress) });
    const expected = [];
    for (let done = piece; done < total + piece; done += piece) {
      expected.push({ done: Math.min(done, total), total });
    }
    expect(seen).toEqual(expected);
  });

  it('does nothing when it was aborted before', async () => {
    const m = mapped();
    const reason = new Error('never mind');
    const seen: Progress[] = [];
    const error = await refusedLater(
      call(m, { signal: AbortSignal.abort(reason), onProgress: (progress) => seen.push(progress) }),
    );
    expect(error).toBe(reason);
    expect(seen).toEqual([]);
    expect(regionAt(m.address).flags.has('lo')).toBe(false);
    m.unmap();
  });

  it('stops between pieces when it is aborted in the middle, and what was done stays done', async () => {
    const m = mapped();
    const controller = new AbortController();
    const seen: number[] = [];
    const onProgress = ({ done }: Progress) => {
      seen.push(done);
      controller.abort();
    };
    const error = await refusedLater(call(m, { signal: controller.signal, onProgress }));
    expect(error.name).toBe('AbortError');
    expect(seen).toEqual([piece]);
    if (name === 'lockAsync') {
      expect(regionAt(m.address).flags.has('lo')).toBe(true);
      expect(regionAt(m.address + BigInt(piece)).flags.has('lo')).toBe(false);
    }
    m.unmap();
  });

  it('rejects with what onProgress throws', async () => {
    const m = mapped();
    const mine = new Error('mine');
    const onProgress = () => {
      throw mine;
    };
    expect(await refusedLater(call(m, { onProgress }))).toBe(mine);
    m.unmap();
  });

  it('keeps the mapping in place meanwhile: what would take it away is ERR_MEMMAP_BUSY', async () => {
    const m = mapped();
    const going = call(m);
    for (const move of [
      () => m.unmap(),
      () => m.resize(pageSize),
      () => m.replace({ file: path, length: LENGTH }),
      () => m.protect('none'),
      () => sys.munmap(m.address, pageSize, { replace: m }),
      () => sys.mremap(m.address, LENGTH, pageSize, 0),
    ]) {
      const error = refused(move);
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject(memmapSays('BUSY'));
      expect(error.message).toContain(`${name}() has not finished`);
    }
    expect(m.state).toBe('mapped');
    await going;
    m.unmap();
    expect(m.state).toBe('unmapped');
  });

  it('is ERR_MEMMAP_UNMAPPED afterwards, as a rejection', async () => {
    const m = mapped();
    m.unmap();
    expect(await refusedLater(call(m))).toMatchObject(memmapSays('UNMAPPED'));
  });

  it('is the mapping’s until the last of several calls has ended', async () => {
    const m = mapped();
    const first = call(m);
    const second = m.prefetch({ length: pageSize });
    // Whichever ends first: the other one has not, in this very turn.
    await Promise.race([first, second]);
    expect(refused(() => m.unmap())).toMatchObject(memmapSays('BUSY'));
    await Promise.all([first, second]);
    m.unmap();
  });
});

describe('flush', () => {
  it('cleans the pages of the range, rounded outward', async () => {
    const m = mapped();
    m.buffer.write('to the disk', 100);
    await m.flush({ offset: 99, length: 2n });
    const { sizes } = regionAt(m.address);
    expect(sizes['Shared_Dirty']! + sizes['Private_Dirty']!).toBe(0);
    expect(pythonReads(path, 100, 11)).toBe(Buffer.from('to the disk').toString('hex'));
  });
});

describe('prefetch', () => {
  it('brings every page of the range in, and no more than it was asked for', async () => {
    const m = mapAnonymous(64 * pageSize, { shared: true });
    await m.prefetch({ offset: 4 * pageSize + 1, length: 4 * pageSize });
    expect(m.residency({ offset: 4 * pageSize, length: 5 * pageSize }).resident).toBe(5);
    expect(m.residency({ length: 4 * pageSize }).resident).toBe(0);
    expect(m.residency({ offset: 32 * pageSize }).resident).toBe(0);
  });

  it('is EFAULT where the file has been cut off', async () => {
    const cut = scratch.file(patterned(4 * pageSize));
    const m = mapFileSync(cut);
    fs.truncateSync(cut, pageSize);
    await m.prefetch({ length: pageSize });
    expect(await refusedLater(m.prefetch())).toMatchObject({
      ...kernelSays('EFAULT', 'madvise'),
      path: cut,
      address: m.address,
    });
    m.unmap();
  });

  it('is EINVAL where the pages may not be read', async () => {
    const m = mapAnonymous(pageSize);
    m.protect('none');
    expect(await refusedLater(m.prefetch())).toMatchObject(kernelSays('EINVAL', 'madvise'));
  });
});

describe('readAsync and writeAsync', () => {
  it('copy any bytes, across pieces', async () => {
    const m = mapAnonymous(3 * MIB);
    const source = patterned(2 * MIB + 77);
    expect(await m.writeAsync(11n, source)).toBe(source.length);
    expect(m.buffer.subarray(11, 11 + source.length).equals(source)).toBe(true);
    expect((await m.readAsync(11, BigInt(source.length))).equals(source)).toBe(true);
    const target = new Float64Array(1000);
    expect(await m.readAsync(11, target)).toBe(target);
    expect(Buffer.from(target.buffer).equals(source.subarray(0, 8000))).toBe(true);
  });

  it('take a string, and nothing', async () => {
    const m = mapAnonymous(100);
    expect(await m.writeAsync(5, 'grün')).toBe(5);
    expect(await m.writeAsync(5, '')).toBe(0);
    expect((await m.readAsync(5, 5)).toString()).toBe('grün');
    expect(await m.readAsync(100, 0)).toHaveLength(0);
  });

  it('are EFAULT where the file has been cut off', async () => {
    const cut = scratch.file(patterned(4 * pageSize));
    const m = mapFileSync(cut, { access: 'read-write' });
    fs.truncateSync(cut, pageSize);
    expect(await refusedLater(m.readAsync(pageSize, 5))).toMatchObject({
      ...kernelSays('EFAULT', 'process_vm_readv'),
      path: cut,
      address: m.address + BigInt(pageSize),
    });
    expect(await refusedLater(m.writeAsync(pageSize, 'lost'))).toMatchObject(
      kernelSays('EFAULT', 'process_vm_writev'),
    );
  });

  it('writeAsync refuses what write refuses', async () => {
    const m = mapFileSync(path);
    expect(await refusedLater(m.writeAsync(0, 'x'))).toMatchObject(memmapSays('READ_ONLY'));
    expect(await refusedLater(m.writeAsync(LENGTH, 'x'))).toMatchObject(memmapSays('RANGE'));
    expect(await refusedLater(m.readAsync(LENGTH, 1))).toMatchObject(memmapSays('RANGE'));
  });

  it.each(['readAsync', 'writeAsync'] as const)(
    '%s rejects when its buffer is transferred meanwhile',
    async (name) => {
      const bytes = new Uint8Array(2 * MIB);
      const m = mapAnonymous(2 * MIB);
      const going = m[name](0, bytes);
      structuredClone(bytes, { transfer: [bytes.buffer] });
      const error = await refusedLater(going);
      expect(error).toMatchObject(memmapSays('ARGUMENT'));
      expect(error.message).toContain('detached');
      m.unmap();
    },
  );
});
