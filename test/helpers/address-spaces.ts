// Made-up address spaces for the page: many regions, and the life of a process, the same ones on every run.

import type { OwnerKind, PageData, RegionJson, Trace, TraceEvent } from '../../lib/cli/data';

export const PAGE = 2 ** 12;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

const hex = (address: number): string => `0x${address.toString(16)}`;

export function region(
  start: number,
  length: number,
  rest: Partial<RegionJson> & { kind?: OwnerKind; label?: string; certain?: boolean } = {},
): RegionJson {
  const { kind = 'anonymous', label = kind, certain = true, ...given } = rest;
  const known = { protection: 'rw-', shared: false, offset: 0, inode: 0, device: '0:0' };
  const owner = { kind, label, certain };
  return { start: hex(start), end: hex(start + length), length, ...known, owner, ...given };
}

/** The layout of a small Node: a program, its heap, V8, a mapping of memmap, libraries, stacks, the kernel's pages. */
export function smallProcess(): RegionJson[] {
  const node = { kind: 'executable', label: 'node', path: '/usr/bin/node', inode: 7 } as const;
  const libc = {
    kind: 'library',
    label: 'libc.so.6',
    path: '/usr/lib/libc.so.6',
    inode: 8,
  } as const;
  const high = 0x7f10_0000_0000;
  return [
    region(0x40_0000, 30 * MIB, { ...node, protection: 'r-x', resident: 20 * MIB, dirty: 0 }),
    region(0x40_0000 + 30 * MIB, MIB, { ...node, resident: MIB, dirty: MIB }),
    region(0x2000_0000, 4 * MIB, { kind: 'libc-heap', path: '[heap]', resident: MIB, dirty: MIB }),
    region(0x1234_5678_0000, MIB / 4, {
      ...{ kind: 'v8-heap', label: 'V8 heap', certain: false },
      ...{ resident: MIB / 4, dirty: MIB / 4 },
    }),
    region(high, 8 * GIB, {
      kind: 'v8-cage',
      label: 'V8 cage',
      protection: '---',
      resident: 0,
      dirty: 0,
    }),
    region(high + 9 * GIB, 64 * MIB, {
      ...{ kind: 'mapping', label: 'data.bin', path: '/srv/data.bin', shared: true, inode: 9 },
      ...{ resident: 16 * MIB, dirty: 2 * MIB, offset: 8 * PAGE },
    }),
    region(high + 10 * GIB, 2 * MIB, { ...libc, protection: 'r-x', resident: MIB, dirty: 0 }),
    region(high + 10 * GIB + 2 * MIB, 4 * PAGE, { ...libc, resident: 4 * PAGE, dirty: PAGE }),
    region(high + 11 * GIB, PAGE, { kind: 'guard', protection: '---', resident: 0, dirty: 0 }),
    region(high + 11 * GIB + PAGE, 8 * MIB, {
      ...{ kind: 'thread-stack', label: 'thread stack 42', resident: 2 * PAGE, dirty: 2 * PAGE },
    }),
    region(0x7ffd_0000_0000, 33 * PAGE, {
      kind: 'stack',
      path: '[stack]',
      resident: 9 * PAGE,
      dirty: 9 * PAGE,
    }),
    {
      ...region(0, PAGE, {
        kind: 'kernel',
        label: '[vsyscall]',
        path: '[vsyscall]',
        protection: '--x',
      }),
      ...{ start: '0xffffffffff600000', end: '0xffffffffff601000' },
    },
  ];
}

/** Numbers that look like chance and are not. */
function* dice(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

const KINDS: readonly OwnerKind[] = [
  ...(['v8-heap', 'v8-heap', 'mapping', 'mapping', 'library', 'anonymous'] as const),
  ...(['file', 'guard', 'libc-arena', 'thread-stack'] as const),
];

export function manyRegions(count: number): RegionJson[] {
  const random = dice(count);
  const roll = (most: number): number => Math.floor(random.next().value * most);
  const regions: RegionJson[] = [];
  let at = 0x10_0000;
  for (let index = 0; index < count; index++) {
    at += PAGE * (roll(3) === 0 ? 0 : roll(index % 500 === 0 ? 2 ** 26 : 64));
    const length = PAGE * (1 + roll(index % 97 === 0 ? 4096 : 32));
    const kind = KINDS[roll(KINDS.length)] ?? 'anonymous';
    const resident = PAGE * roll(length / PAGE + 1);
    const guarded = kind === 'guard';
    regions.push(
      region(at, length, {
        ...{ kind, label: `${kind} ${String(index)}`, certain: kind !== 'v8-heap' },
        protection: guarded ? '---' : 'rw-',
        resident: guarded ? 0 : resident,
        dirty: guarded ? 0 : Math.min(resident, PAGE * roll(length / PAGE + 1)),
        ...(kind === 'file' && { path: `/srv/files/${String(index)}.bin`, inode: index }),
      }),
    );
    at += length;
  }
  return regions;
}

const ARENA = 0x7f50_0000_0000;

/** A process that maps blocks, protects, moves and unmaps some of them, and is refused twice. */
export function madeUpTrace({ calls = 400 }: { calls?: number } = {}): Trace {
  const random = dice(calls);
  const roll = (most: number): number => Math.floor(random.next().value * most);
  const events: TraceEvent[] = [];
  const live: { address: number; length: number }[] = [];
  const durationMs = calls * 5;
  const push = (at: number, event: Partial<TraceEvent> & Pick<TraceEvent, 'call'>) => {
    const time = 20 + (at * (durationMs - 40)) / calls;
    const plain = { thread: 1, caller: '/usr/bin/node', address: '0x0', length: PAGE };
    events.push({ ...plain, time, result: '0x0', verdict: 'done', ...event });
  };
  let next = ARENA;
  for (let at = 0; at < calls; at++) {
    const chosen = live.length > 20 || roll(3) === 0 ? roll(live.length) : -1;
    const old = live[chosen];
    if (at === Math.floor(calls / 3) || at === Math.floor(calls / 2)) {
      const refused = at < calls / 2;
      const asked = { address: hex(ARENA - GIB), length: MIB, flags: 0x32, protection: 3 };
      const verdict = refused ? 'refused' : 'reported';
      push(at, { call: 'mmap', ...asked, verdict, result: null, error: 'EEXIST' });
    } else if (old === undefined) {
      const length = PAGE * (1 + roll(4096));
      push(at, { call: 'mmap', length, protection: 3, flags: 0x22, fd: -1, result: hex(next) });
      live.push({ address: next, length });
      next += length + PAGE * roll(8);
    } else if (at % 5 === 0) {
      push(at, { call: 'mprotect', address: hex(old.address), length: PAGE, protection: 1 });
    } else {
      push(at, { call: 'munmap', address: hex(old.address), length: old.length });
      live.splice(chosen, 1);
    }
  }
  const start = smallProcess();
  const end = live
    .sort((a, b) => a.address - b.address)
    .map(({ address, length }) =>
      region(address, length, {
        kind: 'v8-heap',
        label: 'V8 heap',
        certain: false,
        resident: length,
        dirty: 0,
      }),
    );
  const regions = [...start, ...end].sort((a, b) => Number(a.start) - Number(b.start));
  return {
    ...{ version: 1, pid: 4321, command: ['node', 'app.js'], started: '2026-01-02T03:04:05.000Z' },
    ...{ durationMs, pageSize: PAGE, events, lost: 0, unseen: { regions: 5, bytes: 3 * MIB } },
    snapshots: [
      { time: 10, regions: start },
      { time: durationMs - 10, regions },
    ],
  };
}

export function pageData(regions: RegionJson[], rest: Partial<PageData> = {}): PageData {
  const about = { title: 'node app.js', pid: 4321, command: 'node app.js --port 80' };
  return { ...about, taken: '2026-01-02T03:04:05.000Z', pageSize: PAGE, regions, ...rest };
}
