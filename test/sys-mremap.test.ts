import { type Mapping, mapFileSync, pageSize, registry, sys } from '../lib/index.js';
import { Scratch, patterned } from './helpers/files.js';
import { codeRegion, findRegion, modesOf, nowhere, regionAt } from './helpers/kernel.js';
import { PAGE, bit, placed, scattered } from './helpers/raw.js';
import { kernelSays, memmapSays, refused } from './helpers/refusals.js';

const MAYMOVE = bit('MREMAP_MAYMOVE');
const FIXED = MAYMOVE | bit('MREMAP_FIXED');
const DONTUNMAP = MAYMOVE | bit('MREMAP_DONTUNMAP');

const scratch = new Scratch();
const bytes = patterned(4 * pageSize);

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

/** A mapping whose pages say which they are. */
function numbered(pages: number, options: { shared?: boolean } = {}): Mapping {
  const m = placed(pages, options);
  for (let page = 0; page < pages; page++) m.write(page * pageSize, `page ${String(page)}`);
  return m;
}
const textAt = (m: Mapping, page: number): string =>
  m
    .read(page * pageSize, 6)
    .toString('latin1')
    .replace(/\0/g, '');

describe('the same Mapping', () => {
  it('grows in place', () => {
    const m = numbered(1);
    const view = m.buffer;
    expect(sys.mremap(m.address, pageSize, 3 * pageSize, 0)).toBe(m);
    expect([m.length, view.length, textAt(m, 0), m.buffer.length]).toEqual([
      3 * pageSize,
      0,
      'page 0',
      3 * pageSize,
    ]);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['rw-p', 'rw-p', 'rw-p']);
  });

  it('shrinks in place', () => {
    const m = numbered(3);
    expect(sys.mremap(m.address, 3 * pageSize, 1, 0)).toBe(m);
    expect([m.length, m.read(0, 1).toString()]).toEqual([1, 'p']);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['rw-p', '----', '----']);
  });

  it('moves where it cannot stay', () => {
    const { address, mappings } = scattered(0, 1);
    const m = mappings[0]!;
    m.write(0, 'page 0');
    expect(refused(() => sys.mremap(address, pageSize, 2 * pageSize, 0))).toMatchObject(
      kernelSays('ENOMEM', 'mremap'),
    );
    expect(m).toMatchObject({ address, length: pageSize, state: 'mapped' });
    expect(sys.mremap(address, pageSize, 2 * pageSize, MAYMOVE)).toBe(m);
    expect(m.address).not.toBe(address);
    expect([textAt(m, 0), registry.at(m.address), registry.at(address)]).toEqual([
      'page 0',
      m,
      undefined,
    ]);
    expect(findRegion(address)).toBeUndefined();
  });

  it('moves to where it is told, over what is named', () => {
    const m = numbered(2);
    const target = placed(2);
    const [view, victim] = [m.buffer, target.buffer];
    const events: string[] = [];
    target.on('replace', () => events.push(target.state));
    expect(
      sys.mremap(m.address, 2 * pageSize, 2 * pageSize, FIXED, target.address, { replace: target }),
    ).toBe(m);
    expect([m.address, target.state, events]).toEqual([target.address, 'replaced', ['replaced']]);
    expect([view.length, victim.length, textAt(m, 1)]).toEqual([0, 0, 'page 1']);
  });

  it('keeps its protections', () => {
    const m = numbered(3);
    m.protect('read', { length: pageSize });
    sys.mremap(m.address, 3 * pageSize, 2 * pageSize, 0);
    expect(m.protection).toBe('mixed');
    sys.mremap(m.address, 2 * pageSize, pageSize, 0);
    expect(m.protection).toBe('read');
    expect(refused(() => m.write(0, 'x'))).toMatchObject(memmapSays('READ_ONLY'));
  });

  it('of a file at any byte shows whole pages then: the caller spoke of pages', () => {
    const m = mapFileSync(scratch.file(bytes), { offset: 100, length: 200 });
    sys.mremap(m.address - 100n, pageSize, 2 * pageSize, MAYMOVE);
    expect([m.length, m.fileOffset, m.address % PAGE]).toEqual([2 * pageSize, 0n, 0n]);
    expect(m.buffer.equals(bytes.subarray(0, 2 * pageSize))).toBe(true);
    sys.mremap(m.address, 2 * pageSize, 50, 0);
    expect(m.buffer.equals(bytes.subarray(0, 50))).toBe(true);
  });
});

describe('a new Mapping', () => {
  it('is made of a part that moves, and the rest are parts', () => {
    const m = numbered(3);
    const target = placed(1);
    const moved = sys.mremap(m.address + PAGE, pageSize, pageSize, FIXED, target.address, {
      replace: target,
    });
    expect(moved).not.toBe(m);
    expect([moved.address, textAt(moved, 0)]).toEqual([target.address, 'page 1']);
    expect(m.parts.map((part) => textAt(part, 0))).toEqual(['page 0', 'page 2']);
    expect(findRegion(m.address + PAGE)).toBeUndefined();
  });

  it('is made of a part with the protection that the part has', () => {
    const m = numbered(2);
    m.protect('read', { offset: pageSize });
    const target = placed(1);
    const moved = sys.mremap(m.address + PAGE, pageSize, pageSize, FIXED, target.address, {
      replace: target,
    });
    expect([moved.protection, m.parts[0]?.protection]).toEqual(['read', 'read-write']);
    expect(regionAt(moved.address).mode).toBe('r--p');
  });

  it('is made of a part that moves onto another part of the same mapping', () => {
    const m = numbered(3);
    const moved = sys.mremap(m.address, pageSize, pageSize, FIXED, m.address + PAGE, {
      replace: m,
    });
    expect([moved.address, textAt(moved, 0)]).toEqual([m.address + PAGE, 'page 0']);
    expect(m.state).not.toBe('mapped');
    expect(m.parts.map((part) => [part.address, textAt(part, 0)])).toEqual([
      [m.address + 2n * PAGE, 'page 2'],
    ]);
    expect(registry.mappings()).toEqual([moved, ...m.parts]);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['----', 'rw-p', 'rw-p']);
  });

  it('is made of a part that grows, with the protection of that part', () => {
    const m = numbered(4);
    m.protect('none', { length: pageSize });
    const moved = sys.mremap(m.address, pageSize, 4 * pageSize, MAYMOVE);
    expect(modesOf(moved.address, 4, pageSize)).toEqual(Array(4).fill('---p'));
    expect(moved.protection).toBe('none');
    expect(refused(() => moved.view(pageSize, 1))).toMatchObject(memmapSays('UNSUPPORTED'));
    expect(m.parts.map((part) => part.protection)).toEqual(['read-write']);
  });

  it('is made of a part that shrinks', () => {
    const m = numbered(3);
    const first = sys.mremap(m.address, 2 * pageSize, pageSize, 0);
    expect([textAt(first, 0), m.parts.length]).toEqual(['page 0', 1]);
    expect(modesOf(m.address, 3, pageSize)).toEqual(['rw-p', '----', 'rw-p']);
  });

  it('is made by an old length of 0: a second window of shared pages', () => {
    const m = numbered(2, { shared: true });
    const second = sys.mremap(m.address, 0, 2 * pageSize, MAYMOVE);
    expect([second === m, m.state, m.length]).toEqual([false, 'mapped', 2 * pageSize]);
    m.buffer.write('seen twice');
    expect(second.read(0, 10).toString()).toBe('seen twice');
    expect(registry.mappings()).toHaveLength(2);
  });

  it('is made by MREMAP_DONTUNMAP, and the old one stays and is zero', () => {
    const m = numbered(2);
    const view = m.view(pageSize, 6);
    const moved = sys.mremap(m.address, 2 * pageSize, 2 * pageSize, DONTUNMAP);
    expect([textAt(moved, 1), textAt(m, 1), m.state]).toEqual(['page 1', '', 'mapped']);
    expect(view.every((byte) => byte === 0)).toBe(true);
    moved.write(0, 'apart');
    expect(textAt(m, 0)).toBe('');
  });

  it('is a window of the file at the part’s offset', () => {
    const m = mapFileSync(scratch.file(bytes), {
      address: nowhere(4 * pageSize),
      placement: 'exclusive',
    });
    const part = sys.mremap(m.address + 2n * PAGE, pageSize, pageSize, FIXED, placed(1).address, {
      replace: registry.mappings(),
    });
    expect([
      part.fileOffset,
      part.buffer.equals(bytes.subarray(2 * pageSize, 3 * pageSize)),
    ]).toEqual([2n * PAGE, true]);
  });
});

describe('refusals', () => {
  it.each<[string, (m: Mapping) => Parameters<typeof sys.mremap>, string]>([
    ['an address within a page', (m) => [m.address + 1n, 1, 1, 0], 'EINVAL'],
    ['a new length of 0', (m) => [m.address, pageSize, 0, MAYMOVE], 'EINVAL'],
    ['flags that it does not know', (m) => [m.address, pageSize, pageSize, 8], 'EINVAL'],
    [
      'MREMAP_FIXED without MREMAP_MAYMOVE',
      (m) => [m.address, 1, 1, bit('MREMAP_FIXED'), m.address],
      'EINVAL',
    ],
    ['a new address within a page', (m) => [m.address, 1, 1, FIXED, m.address + 5n], 'EINVAL'],
    [
      'a new place that overlaps the old',
      (m) => [m.address, 2n * PAGE, 2n * PAGE, FIXED, m.address + PAGE],
      'EINVAL',
    ],
    [
      'MREMAP_DONTUNMAP with another length',
      (m) => [m.address, 2n * PAGE, PAGE, DONTUNMAP],
      'EINVAL',
    ],
    ['an old length of 0 of private memory', (m) => [m.address, 0, PAGE, MAYMOVE], 'EINVAL'],
    ['more than there is', (m) => [m.address, 2n * PAGE, 2n ** 46n, MAYMOVE], 'ENOMEM'],
    ['nothing that is mapped', () => [nowhere(1), 1, 1, MAYMOVE], 'EFAULT'],
    ['more than is mapped', (m) => [m.address, 3n * PAGE, 4n * PAGE, MAYMOVE], 'EFAULT'],
  ])('%s', (_what, args, code) => {
    const m = numbered(2);
    expect(refused(() => sys.mremap(...args(m)))).toMatchObject(kernelSays(code, 'mremap'));
    expect([m.state, m.length, textAt(m, 1)]).toEqual(['mapped', 2 * pageSize, 'page 1']);
    expect(m.buffer).toHaveLength(2 * pageSize);
  });

  it.each([
    ['is beyond all', 2n ** 62n],
    ['wraps', 2n ** 64n - 1n],
  ])('a new length that %s', (_what, length) => {
    const m = numbered(2);
    const refusal = refused(() => sys.mremap(m.address, 2n * PAGE, length, MAYMOVE));
    // Linux 6.12 looks for room first, 6.18 at the length.
    expect(refusal).toMatchObject({ name: 'MapError', syscall: 'mremap' });
    expect(['EINVAL', 'ENOMEM']).toContain(refusal.code);
    expect([m.state, m.length, textAt(m, 1)]).toEqual(['mapped', 2 * pageSize, 'page 1']);
  });

  it('two mappings at once are EFAULT', () => {
    const { address } = scattered(0, 1);
    expect(refused(() => sys.mremap(address, 2 * pageSize, pageSize, 0))).toMatchObject(
      kernelSays('EFAULT', 'mremap'),
    );
    expect(modesOf(address, 2, pageSize)).toEqual(['rw-p', 'rw-p']);
  });

  it('memory of somebody else is ERR_MEMMAP_FOREIGN, as source and as target', () => {
    const { start } = codeRegion();
    expect(refused(() => sys.mremap(start, pageSize, pageSize, MAYMOVE))).toMatchObject(
      memmapSays('FOREIGN'),
    );
    const m = numbered(1);
    for (const target of [start, nowhere(1)]) {
      const error = refused(() => sys.mremap(m.address, 1, 1, FIXED, target, { replace: m }));
      expect(error).toMatchObject(memmapSays('FOREIGN'));
    }
    expect([m.state, textAt(m, 0), findRegion(start)?.mode]).toEqual(['mapped', 'page 0', 'r-xp']);
  });

  it('a target that is not named is ERR_MEMMAP_OVERLAP', () => {
    const [m, target] = [numbered(1), numbered(1)];
    const error = refused(() => sys.mremap(m.address, 1, 1, FIXED, target.address, { replace: m }));
    expect(error).toMatchObject(memmapSays('OVERLAP'));
    expect(error.conflicts?.[0]).toBe(target);
    expect([textAt(m, 0), textAt(target, 0)]).toEqual(['page 0', 'page 0']);
  });

  it('a target may be a part of what is named', () => {
    const [m, target] = [numbered(2), numbered(3)];
    sys.mremap(m.address, 2 * pageSize, 2 * pageSize, FIXED, target.address, { replace: target });
    expect([textAt(m, 0), target.parts.map((part) => textAt(part, 0))]).toEqual([
      'page 0',
      ['page 2'],
    ]);
  });
});
