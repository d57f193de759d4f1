// The helper's table as bytes: what is good is read, what is cut or garbage is said or left out, and nothing crashes.

import fc from 'fast-check';
import { traceOf } from '../lib/looking/trace';
import { TraceTable, tableHead, tableSize, type TableOptions } from '../lib/looking/trace-table';
import { memmapSays, refused } from './helpers/refusals';

const CAPACITY = 10;
const RECORDS = 131072;
const COMPLETE = 0x656e6f64;
const CALL = { mmap: 1, munmap: 2, mremap: 3, mprotect: 4, madvise: 5 };
const VERDICT = { done: 1, placed: 2, reported: 3, refused: 4 };

const settings: TableOptions = {
  events: CAPACITY,
  pageSize: 16384,
  protect: 'refuse',
  policy: 'best-fit',
  base: 0x2000_0000_0000n,
  arena: 2 ** 36,
  children: true,
};

const STARTED = 5_000_000_000_123n;

interface Given {
  time?: bigint;
  address?: bigint;
  length?: bigint;
  result?: bigint;
  more?: bigint;
  extra?: bigint;
  protection?: number;
  fd?: number;
  thread?: number;
  library?: number;
  call?: number;
  verdict?: number;
  flags?: number;
  complete?: number;
}

/** A table as the helper writes it, with these records. */
function makeTable(records: readonly Given[], room = CAPACITY): Uint8Array {
  const bytes = new Uint8Array(tableSize(room));
  bytes.set(tableHead({ ...settings, events: room }));
  const view = new DataView(bytes.buffer);
  view.setUint32(64, 4711, true);
  view.setUint32(68, 1, true);
  view.setBigUint64(72, STARTED, true);
  view.setBigUint64(80, 1_700_000_000_000_000_000n, true);
  view.setBigUint64(128, BigInt(records.length), true);
  view.setBigUint64(176, BigInt(room), true);
  const path = Buffer.from('/usr/lib/libé.so');
  view.setUint32(124, 1, true);
  view.setUint16(1024, path.length, true);
  bytes.set(path, 1026);
  records.forEach((given, index) => {
    const at = RECORDS + index * 64;
    view.setBigUint64(at, given.time ?? STARTED + BigInt(index) * 1000n, true);
    view.setBigUint64(at + 8, given.address ?? 0n, true);
    view.setBigUint64(at + 16, given.length ?? 16384n, true);
    view.setBigInt64(at + 24, given.result ?? 0n, true);
    view.setBigUint64(at + 32, given.more ?? 0n, true);
    view.setInt32(at + 40, given.protection ?? 0, true);
    view.setInt32(at + 44, given.fd ?? -1, true);
    if (given.extra !== undefined) view.setBigUint64(at + 40, given.extra, true);
    view.setUint32(at + 48, given.thread ?? 99, true);
    view.setUint16(at + 52, given.library ?? 1, true);
    view.setUint8(at + 54, given.call ?? CALL.mmap);
    view.setUint8(at + 55, given.verdict ?? VERDICT.done);
    view.setInt32(at + 56, given.flags ?? 0, true);
    view.setUint32(at + 60, given.complete ?? COMPLETE, true);
  });
  return bytes;
}

const context = { command: ['a', 'b'], durationMs: 12, snapshots: [] };
const trace = (records: readonly Given[]) => traceOf(new TraceTable(makeTable(records)), context);

it('gives each call what it was asked, and what came of it', () => {
  const { events, ...rest } = trace([
    { result: 0x7000_0000_0000n, protection: 3, flags: 0x22, fd: -1 },
    { result: 0x7000_0001_0000n, protection: 1, flags: 2, fd: 7, more: 2n ** 40n },
    {
      call: CALL.mremap,
      address: 0x7000_0000_0000n,
      more: 32768n,
      flags: 3,
      extra: 0x7fff_0000_0000n,
      result: 0x7fff_0000_0000n,
      verdict: VERDICT.placed,
    },
    { call: CALL.mprotect, address: 0x1000n, protection: 5, result: -13n },
    { call: CALL.madvise, protection: 4, library: 0 },
    { call: CALL.munmap, address: 2n ** 64n - 1n, result: -1n, verdict: VERDICT.refused },
  ]);
  expect(rest).toMatchObject({
    version: 1,
    pid: 4711,
    command: ['a', 'b'],
    started: '2023-11-14T22:13:20.000Z',
    durationMs: 12,
    pageSize: 16384,
    lost: 0,
  });
  const common = { thread: 99, caller: '/usr/lib/libé.so', length: 16384, verdict: 'done' };
  expect(events).toEqual([
    {
      ...common,
      time: 0,
      call: 'mmap',
      address: '0x0',
      protection: 3,
      flags: 0x22,
      result: '0x700000000000',
    },
    {
      ...common,
      ...{ time: 0.001, call: 'mmap', address: '0x0', protection: 1, flags: 2 },
      ...{ fd: 7, offset: 2 ** 40, result: '0x700000010000' },
    },
    {
      ...common,
      ...{ time: 0.002, call: 'mremap', address: '0x700000000000', newLength: 32768 },
      ...{ newAddress: '0x7fff00000000', flags: 3, result: '0x7fff00000000', verdict: 'placed' },
    },
    {
      ...common,
      ...{
        time: 0.003,
        call: 'mprotect',
        address: '0x1000',
        protection: 5,
        result: null,
        error: 'EACCES',
      },
    },
    {
      ...common,
      time: 0.004,
      caller: '[unknown]',
      call: 'madvise',
      address: '0x0',
      advice: 4,
      result: '0x0',
    },
    {
      ...common,
      ...{ time: 0.005, call: 'munmap', address: '0xffffffffffffffff' },
      ...{ result: null, error: 'EPERM', verdict: 'refused' },
    },
  ]);
});

it('puts them in the order of time, and nothing before the start', () => {
  const times = [5n, 2n, -7n, 2n ** 40n, 3n].map((time) => ({ time: STARTED + time }));
  const found = trace(times).events.map(({ time }) => Math.round(time * 1e6));
  expect(found).toEqual([0, 2, 3, 5, 2 ** 40]);
});

it('counts what is cut off or impossible as lost', () => {
  const good = { result: 0x7000_0000_0000n };
  const cases: Given[] = [
    { complete: 0 },
    { complete: 1 },
    { call: 0 },
    { call: 6 },
    { verdict: 0 },
    { verdict: 9 },
  ];
  const { events, lost } = trace([good, ...cases, good]);
  expect([events.length, lost]).toEqual([2, cases.length]);
});

it('reads a table whose file was cut short', () => {
  const bytes = makeTable([{}, {}, {}, {}]);
  for (const length of [RECORDS, RECORDS + 63, RECORDS + 64, RECORDS + 200]) {
    const table = new TraceTable(bytes.subarray(0, length));
    expect(table.order().length).toBe(Math.floor((length - RECORDS) / 64));
  }
});

it('reads what lies anywhere in a buffer', () => {
  const bytes = makeTable([{ result: 5n }]);
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(new TraceTable(shifted.subarray(3)).result(0)).toBe(5);
  expect(new TraceTable(shifted.subarray(3)).libraries).toEqual(['/usr/lib/libé.so']);
});

describe('refuses', () => {
  const spoil = (at: number, value: number): Uint8Array => {
    const bytes = makeTable([{}]);
    bytes[at] = value;
    return bytes;
  };
  const cases: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /0 bytes are too few/],
    ['a head alone', tableHead(settings), /64 bytes are too few/],
    ['zeros', new Uint8Array(RECORDS + 64), /begins differently/],
    ['another version', spoil(8, 2), /version 2 is not known/],
    ['other records', spoil(12, 32), /another size/],
    ['a page size that is none', spoil(24, 3), /no page size/],
  ];
  it.each(cases)('%s', (_name, bytes, words) => {
    const error = refused(() => new TraceTable(bytes));
    expect(error).toMatchObject(memmapSays('ARGUMENT'));
    expect(error.message).toMatch(words);
  });
});

it('bytes of any kind are events or an error of ours, never anything else', () => {
  const head = makeTable([]).subarray(0, 32);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 400 }),
      fc.uint8Array({ maxLength: 640 }),
      (front, records) => {
        const bytes = new Uint8Array(RECORDS + records.length);
        bytes.set(front, 0);
        bytes.set(head, 0);
        bytes.set(records, RECORDS);
        const { events } = traceOf(new TraceTable(bytes), context);
        expect(events.length).toBeLessThanOrEqual(10);
      },
    ),
    { numRuns: 300 },
  );
});
