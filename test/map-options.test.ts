import {
  type AnonymousOptions,
  type Mapping,
  mapAnonymous,
  mapFile,
  mapFileSync,
  pageSize,
  registry,
} from '../lib/index.js';
import { runChild } from './helpers/child';
import { Scratch, patterned } from './helpers/files.js';
import { codeRegion, findRegion, nowhere, regionAt } from './helpers/kernel.js';
import { itUnless, kernelSays, refused } from './helpers/refusals.js';

const scratch = new Scratch();
const path = scratch.file(patterned(4 * pageSize));

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

const makers: [string, (options: AnonymousOptions) => Mapping][] = [
  ['mapAnonymous', (options) => mapAnonymous(4 * pageSize, options)],
  [
    'mapFileSync',
    ({ shared, ...options }) =>
      mapFileSync(path, { access: shared ? 'read-write' : 'copy-on-write', ...options }),
  ],
];

describe('mapAnonymous', () => {
  it('is private, writable and zero', () => {
    const m = mapAnonymous(100n);
    expect(m).toMatchObject({
      length: 100,
      access: 'read-write',
      protection: 'read-write',
      path: undefined,
      fileOffset: 0n,
      backing: 'kernel',
      state: 'mapped',
    });
    const region = regionAt(m.address);
    expect(region).toMatchObject({ mode: 'rw-p', inode: 0 });
    expect(m.buffer.equals(Buffer.alloc(100))).toBe(true);
  });

  it('may be read only, and shared', () => {
    const read = mapAnonymous(pageSize, { access: 'read' });
    expect([regionAt(read.address).mode, read.access, read.protection]).toEqual([
      'r--p',
      'read',
      'read',
    ]);
    const shared = mapAnonymous(pageSize, { shared: true });
    expect(regionAt(shared.address).mode).toBe('rw-s');
    const both = mapAnonymous(pageSize, { shared: true, access: 'read' });
    expect(regionAt(both.address).mode).toBe('r--s');
  });

  it.each([2 ** 50, Number.MAX_SAFE_INTEGER, 2n ** 52n])('is ENOMEM for %p bytes', (length) => {
    const error = refused(() => mapAnonymous(length));
    expect(error).toMatchObject(kernelSays('ENOMEM', 'mmap'));
  });
});

describe.each(makers)('the options of %s', (_name, map) => {
  it('populate faults every page in', () => {
    const lazy = map({ shared: true });
    const eager = map({ shared: true, populate: true });
    const rss = ({ address }: Mapping) => regionAt(address).sizes['Rss'];
    expect(rss(eager)).toBe((4 * pageSize) / 1024);
    expect(rss(lazy)).toBeLessThan((4 * pageSize) / 1024 + 1);
    const own = map({ populate: true });
    // Private pages are copied now, not at the first write.
    expect(regionAt(own.address).sizes['Private_Dirty']).toBe((4 * pageSize) / 1024);
  });

  it('lock keeps every page in memory', () => {
    const m = map({ lock: true });
    const { flags, sizes } = regionAt(m.address);
    expect([flags.has('lo'), sizes['Locked']]).toEqual([true, (4 * pageSize) / 1024]);
    expect(regionAt(map({}).address).flags.has('lo')).toBe(false);
  });

  it('noReserve is MAP_NORESERVE', () => {
    const flags = (noReserve: boolean) => regionAt(map({ noReserve }).address).flags;
    expect([flags(true).has('nr'), flags(false).has('nr')]).toEqual([true, false]);
  });

  it('hugePages is MADV_HUGEPAGE', () => {
    const flags = (hugePages: boolean) => regionAt(map({ hugePages }).address).flags;
    expect([flags(true).has('hg'), flags(false).has('hg')]).toEqual([true, false]);
  });

  it('inherit is the absence of MADV_DONTFORK', () => {
    const flags = (options: AnonymousOptions) => regionAt(map(options).address).flags;
    expect(flags({}).has('dc')).toBe(true);
    expect(flags({ inherit: false }).has('dc')).toBe(true);
    expect(flags({ inherit: true }).has('dc')).toBe(false);
  });

  it('address is a hint that the kernel takes where it can', () => {
    const address = nowhere(4 * pageSize);
    expect(map({ address }).address).toBe(address);
    expect(map({ address: Number(address) }).address).not.toBe(address);
    const other = nowhere(4 * pageSize);
    expect(map({ address: other + 5n }).address).toBe(other);
  });

  it("placement 'exclusive' is there or nowhere", () => {
    const address = nowhere(8 * pageSize);
    const first = map({ address, placement: 'exclusive' });
    expect(first.address).toBe(address);
    first.write(0, 'mine');
    const half = address + BigInt(2 * pageSize);
    const error = refused(() => map({ address: half, placement: 'exclusive' }));
    expect(error).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), address: half });
    expect(error.conflicts).toHaveLength(1);
    expect(error.conflicts?.[0]).toBe(first);
    expect(first.read(0, 4).toString()).toBe('mine');
    expect(findRegion(address + BigInt(4 * pageSize))).toBeUndefined();
  });

  it("placement 'exclusive' never replaces what somebody else has mapped", () => {
    const { start } = codeRegion();
    const error = refused(() => map({ address: start, placement: 'exclusive' }));
    expect(error).toMatchObject({ ...kernelSays('EEXIST', 'mmap'), conflicts: [] });
  });

  it.each([0, 5, pageSize / 2, 2n ** 63n, 2n ** 64n - BigInt(pageSize)])(
    "placement 'exclusive' is nowhere at %p",
    (address) => {
      const error = refused(() => map({ address, placement: 'exclusive' }));
      expect(error).toMatchObject({ code: 'ERR_MEMMAP_RANGE', argument: 'options.address' });
    },
  );

  it("placement 'exclusive' wants an address", () => {
    expect(refused(() => map({ placement: 'exclusive' }))).toMatchObject({
      code: 'ERR_MEMMAP_ARGUMENT',
      argument: 'options.address',
    });
  });
});

it('mapFile has the same options', async () => {
  const address = nowhere(4 * pageSize);
  const m = await mapFile(path, {
    access: 'copy-on-write',
    address,
    placement: 'exclusive',
    populate: true,
    lock: true,
    hugePages: true,
    inherit: true,
  });
  const { flags, sizes } = regionAt(m.address);
  expect([m.address, flags.has('lo'), flags.has('hg'), flags.has('dc')]).toEqual([
    address,
    true,
    true,
    false,
  ]);
  expect(sizes['Private_Dirty']).toBe((4 * pageSize) / 1024);
});

const limited = itUnless(
  process.getuid?.() === 0 ? undefined : 'only root can give up the right to lock all memory',
);

limited('lock beyond RLIMIT_MEMLOCK is ENOMEM with a hint, and nothing stays mapped', async () => {
  const result = await runChild(
    `
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    const length = 2 ** 30;
    for (const call of [
      () => memmap.mapAnonymous(length, { lock: true }),
      () => memmap.mapAnonymous(length).lock(),
    ]) {
      try { call(); console.log('locked'); } catch (e) { console.log(e.code, e.syscall, /RLIMIT_MEMLOCK/.test(e.message)); }
    }
    await memmap.mapAnonymous(length).lockAsync().catch((e) => console.log(e.code, e.syscall, /RLIMIT_MEMLOCK/.test(e.message)));
    `,
  );
  expect(result.stdout.trim().split('\n')).toEqual(Array(3).fill('ENOMEM mlock true'));
  expect([result.code, result.signal]).toEqual([0, null]);
});
