import type { Trace, TraceEvent } from '../../lib/cli/data';
import { Timeline } from '../../page/timeline';
import { madeUpTrace, PAGE, region } from '../helpers/address-spaces';

const BASE = 0x7f00_0000_0000;
const hex = (pages: number): string => `0x${(BASE + pages * PAGE).toString(16)}`;

/** A trace of calls, one each millisecond from 1 on, after a snapshot of four pages at 0 and 16. */
function traceOf(...calls: (Partial<TraceEvent> & Pick<TraceEvent, 'call'>)[]): Trace {
  const plain = { thread: 1, caller: '/usr/lib/libuv.so', result: '0x0', verdict: 'done' } as const;
  const events = calls.map((call, at) => ({
    ...{ ...plain, address: hex(0), length: PAGE, time: at + 1 },
    ...call,
  }));
  const first = [
    region(BASE, 4 * PAGE, { kind: 'mapping', label: 'a', resident: 4 * PAGE, dirty: 0 }),
    region(BASE + 16 * PAGE, 4 * PAGE, { kind: 'library', label: 'b', resident: PAGE }),
  ];
  const snapshots = [{ time: 0, regions: first }];
  const rest = { started: '', durationMs: 100, pageSize: PAGE, lost: 0, snapshots };
  return { version: 1, pid: 1, command: [], events, unseen: { regions: 0, bytes: 0 }, ...rest };
}

/** 'a 0-4 rw-' for each region, in pages. */
const shown = (timeline: Timeline, time: number): string[] =>
  timeline
    .at(time)
    .map(
      ({ start, end, label, protection }) =>
        `${label} ${String((start - BASE) / PAGE)}-${String((end - BASE) / PAGE)} ${protection}`,
    );

const before = ['a 0-4 rw-', 'b 16-20 rw-'];

describe('a call', () => {
  const cases: Record<string, [Partial<TraceEvent> & Pick<TraceEvent, 'call'>, string[]]> = {
    'mmap adds a region, whole pages': [
      { call: 'mmap', address: '0x0', length: 2 * PAGE - 5, protection: 1, result: hex(8) },
      ['a 0-4 rw-', 'by libuv.so 8-10 r--', 'b 16-20 rw-'],
    ],
    'mmap over others replaces what it hits': [
      { call: 'mmap', length: 16 * PAGE, protection: 0, result: hex(2) },
      ['a 0-2 rw-', 'by libuv.so 2-18 ---', 'b 18-20 rw-'],
    ],
    'mmap inside a region cuts it in three': [
      { call: 'mmap', length: PAGE, protection: 5, result: hex(1) },
      ['a 0-1 rw-', 'by libuv.so 1-2 r-x', 'a 2-4 rw-', 'b 16-20 rw-'],
    ],
    'munmap takes away, also over holes': [
      { call: 'munmap', address: hex(3), length: 14 * PAGE },
      ['a 0-3 rw-', 'b 17-20 rw-'],
    ],
    'munmap of a hole is nothing': [{ call: 'munmap', address: hex(6), length: PAGE }, before],
    'mprotect changes the pages that it names': [
      { call: 'mprotect', address: hex(1), length: PAGE, protection: 0 },
      ['a 0-1 rw-', 'a 1-2 ---', 'a 2-4 rw-', 'b 16-20 rw-'],
    ],
    'mremap grows in place': [
      { call: 'mremap', length: 4 * PAGE, newLength: 6 * PAGE, result: hex(0) },
      ['a 0-6 rw-', 'b 16-20 rw-'],
    ],
    'mremap shrinks in place': [
      { call: 'mremap', length: 4 * PAGE, newLength: PAGE, result: hex(0) },
      ['a 0-1 rw-', 'b 16-20 rw-'],
    ],
    'mremap moves': [
      { call: 'mremap', length: 4 * PAGE, newLength: 5 * PAGE, result: hex(30) },
      ['b 16-20 rw-', 'a 30-35 rw-'],
    ],
    'a failed call is nothing': [
      { call: 'munmap', length: 4 * PAGE, result: null, error: 'EINVAL' },
      before,
    ],
    'a refused call is nothing': [
      { call: 'mmap', length: 4 * PAGE, verdict: 'refused', result: null, error: 'EEXIST' },
      before,
    ],
  };

  it.each(Object.entries(cases))('%s', (_, [call, after]) => {
    const timeline = new Timeline(traceOf(call));
    expect(shown(timeline, 0.5)).toEqual(before);
    expect(shown(timeline, 1)).toEqual(after);
    // The curve is what the regions add up to.
    const bytes = timeline.at(1).reduce((sum, { start, end }) => sum + end - start, 0);
    expect(timeline.curve).toEqual([
      [0, 8 * PAGE],
      [1, bytes],
    ]);
    // And back again.
    expect(shown(timeline, 0.5)).toEqual(before);
  });

  it('says what it knows of memory, and no more', () => {
    const timeline = new Timeline(
      traceOf(
        { call: 'munmap', address: hex(0), length: PAGE },
        { call: 'munmap', address: hex(16), length: PAGE },
        { call: 'madvise', address: hex(17), length: 3 * PAGE, advice: 4 },
      ),
    );
    const known = (time: number) => timeline.at(time).map(({ resident }) => resident);
    expect(known(0)).toEqual([4 * PAGE, PAGE]);
    // All of it was in memory, so all of what is left is; of the other it cannot be said.
    expect(known(2)).toEqual([3 * PAGE, undefined]);
    expect(known(3)).toEqual([3 * PAGE, 0]);
  });
});

describe('a whole life', () => {
  const trace = madeUpTrace({ calls: 5000 });

  it('is the same in any order of looking', () => {
    const timeline = new Timeline(trace);
    const moments = [0, 0.1, 0.33, 0.5, 0.77, 1].map((share) => share * trace.durationMs);
    const ahead = moments.map((time) => shown(timeline, time));
    const back = [...moments].reverse().map((time) => shown(timeline, time));
    expect(back.reverse()).toEqual(ahead);
    const fresh = moments.map((time) => shown(new Timeline(trace), time));
    expect(fresh).toEqual(ahead);
  });

  it('ends as the kernel says', () => {
    const timeline = new Timeline(trace);
    const last = trace.snapshots.at(-1)!.regions;
    expect(timeline.at(timeline.end).map(({ start }) => start)).toEqual(
      last.map(({ start }) => Number(start)),
    );
  });

  it('was replayed right: just before the last snapshot it has the same addresses', () => {
    const timeline = new Timeline(trace);
    const user = (regions: { start: number | string; end: number | string }[]) =>
      regions.map(({ start, end }) => [Number(start), Number(end)]);
    const merged = (ranges: number[][]) => {
      const out: number[][] = [];
      for (const [start = 0, end = 0] of ranges) {
        const last = out.at(-1);
        if (last?.[1] === start) last[1] = end;
        else out.push([start, end]);
      }
      return out;
    };
    const replayed = merged(user(timeline.at(trace.durationMs - 11)));
    expect(replayed).toEqual(merged(user(trace.snapshots.at(-1)!.regions)));
  });
});
