import { shortName } from '../lib/looking/owner-names.js';
import { classify, labelOf } from '../lib/looking/region-owner.js';
import { type Row, surveyOf } from './helpers/surveys.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const NODE = '/opt/bin/node';
const LIBC = '/usr/lib/libc.so.6';

interface Facts {
  program?: string | undefined;
  threads?: readonly number[];
}

/** One word a row: its kind, with a question mark for a guess, and its label. */
function told(rows: readonly Row[], facts: Facts = {}): string[] {
  const { program = 'program' in facts ? undefined : NODE, threads = [] } = facts;
  const draft = classify(surveyOf(rows), { program, threads: Float64Array.from(threads) });
  return rows.map(
    (_, row) => `${draft.kind(row)}${draft.certain(row) ? '' : '?'} ${labelOf(draft, row)}`,
  );
}

/** Rows side by side from `start`, by length, mode and name. */
function beside(start: number, ...parts: [length: number, mode: string, name?: string][]): Row[] {
  let at = start;
  return parts.map(([length, mode, name]) => {
    const row = { start: at, end: at + length, mode, ...(name !== undefined && { name }) };
    at = row.end;
    return row;
  });
}

const TOP = 0x7f00_0000_0000;

describe('names', () => {
  it.each([
    ['[stack]', 'rw-', 'stack stack'],
    ['[heap]', 'rw-', 'libc-heap heap'],
    ['[vdso]', 'r-x', 'kernel vdso'],
    ['[vvar_vclock]', 'r--', 'kernel vvar_vclock'],
    ['[vsyscall]', '--x', 'kernel vsyscall'],
    ['[uprobes]', '--x', 'kernel uprobes'],
    ['anon_inode:[io_uring]', 'rw-s', 'kernel io_uring'],
    ['[stack:123]', 'rw-', 'thread-stack thread stack'],
    ['[anon: glibc: malloc arena]', 'rw-', 'libc-arena malloc arena'],
    ['[anon: glibc: malloc]', 'rw-', 'libc-heap heap'],
    ['[anon: glibc: pthread stack: 7]', 'rw-', 'thread-stack thread stack'],
    ['[anon:v8]', 'rw-', 'v8-heap? V8 heap'],
    ['[anon:my pool]', 'rw-', 'anonymous my pool'],
    ['[anon_shmem:pool]', 'rw-s', 'shared-memory pool'],
    ['/anon_hugepage (deleted)', 'rw-', 'anonymous anon_hugepage'],
    ['/memfd:name (deleted)', 'rw-s', 'shared-memory memfd:name'],
    ['/dev/shm/one', 'rw-s', 'shared-memory one'],
    ['/SYSV00000000 (deleted)', 'rw-s', 'shared-memory SYSV00000000'],
    ['/dev/zero (deleted)', 'rw-s', 'shared-memory zero'],
    ['/dev/zero', 'rw-', 'file zero'],
    ['/data/data.bin', 'r--', 'file data.bin'],
    ['/data/data.bin (deleted)', 'r--', 'file data.bin'],
    ['/memfd:a\nb (deleted)', 'rw-s', 'shared-memory memfd:a\nb'],
    ['/drm mm object (deleted)', 'rw-s', 'shared-memory drm mm object'],
    ['/i915 (deleted)', 'rw-s', 'shared-memory i915'],
    ['/usr/lib/libx.so.6.0.30', 'r-x', 'library libx.so.6.0.30'],
    ['/data/data.so', 'rw-s', 'file data.so'],
    ['/data/data.node', 'r--', 'file data.node'],
    ['/data/plugin', 'r-x', 'library plugin'],
    [NODE, 'r--', 'executable node'],
  ])('%s %s', (name, mode, expected) => {
    expect(told([{ start: TOP, end: TOP + KiB, mode, name }])).toEqual([expected]);
  });

  it.each([
    '/SYSVnotes.txt',
    '/SYSVnotes.txt (deleted)',
    '/SYSV00000000',
    '/SYSV000000001 (deleted)',
    '/memfd:x',
    '/i915x (deleted)',
    '/i915',
    '/drm mm objects (deleted)',
    '/anon_hugepages',
  ])('a file in the root folder is a file: %s', (name) => {
    expect(told([{ start: TOP, end: TOP + KiB, mode: 'rw-s', name }])).toEqual([
      `file ${shortName(name)}`,
    ]);
  });

  it.each(['/SYSV00000000 (deleted)', '/memfd:x (deleted)', '/anon_hugepage (deleted)'])(
    'what the kernel makes is on no disk: %s',
    (name) => {
      const row = { start: TOP, end: TOP + KiB, mode: 'rw-s', name };
      expect(told([{ ...row, device: 8 * 2 ** 20 + 1 }])).toEqual([`file ${shortName(name)}`]);
      expect(told([{ ...row, device: 2 ** 20 - 1 }])).not.toContain(`file ${shortName(name)}`);
    },
  );

  it('a file is a library in all its parts when one of them is code', () => {
    const parts = beside(TOP, [KiB, 'r--', '/x/plugin'], [KiB, 'r-x', '/x/plugin']);
    expect(told(parts)).toEqual(['library plugin', 'library plugin']);
  });

  it('have a short form', () => {
    expect(['/a/b', 'b', '/a/b (deleted)', '[x y]', ''].map(shortName)).toEqual([
      'b',
      'b',
      'b',
      'x y',
      '',
    ]);
  });
});

describe('what memmap holds', () => {
  it('is that, whatever else it looks like', () => {
    const rows = [1, 2, 3].map((holder, at) => ({
      start: TOP + at * 64 * MiB,
      end: TOP + (at + 1) * 64 * MiB,
      mode: '---',
      holder,
    }));
    expect(told(rows)).toEqual([
      'mapping another thread’s mapping',
      'reservation reservation',
      'retired retired',
    ]);
  });
});

describe('stacks', () => {
  const stack = beside(TOP, [4 * KiB, '---'], [8 * MiB, 'rw-']);

  it('are certain where a stack pointer is in them', () => {
    expect(told(stack, { threads: [7, TOP + MiB] })).toEqual([
      'guard guard of thread stack 7',
      'thread-stack thread stack 7',
    ]);
  });

  it('are guesses where a pointer is in memory without a guard: a fiber, a handler of signals', () => {
    const threads = [7, TOP + 100 * MiB];
    const heap = [256 * MiB, 'rw-'] as const;
    const guess = 'thread-stack? thread stack 7';
    expect(told(beside(TOP, [...heap]), { threads })).toEqual([guess]);
    expect(told(beside(TOP - KiB, [KiB, 'r--'], [...heap]), { threads })[1]).toBe(guess);
    expect(told(beside(TOP - 2 * MiB, [2 * MiB, '---'], [...heap]), { threads })[1]).toBe(guess);
    const [guard, data] = beside(TOP - 2 * KiB, [KiB, '---'], [...heap]) as [Row, Row];
    const apart = { ...data, start: TOP, end: TOP + 256 * MiB };
    expect(told([guard, apart], { threads })).toEqual(['guard? guard', guess]);
  });

  it('are no larger than 1 GiB', () => {
    const threads = [7, TOP + 2 * GiB];
    expect(told(beside(TOP - KiB, [KiB, '---'], [4 * GiB, 'rw-']), { threads })).toEqual([
      'guard? guard',
      'anonymous anonymous',
    ]);
  });

  it('are nobody’s where the pointers of several threads are in one piece', () => {
    const threads = [7, TOP + MiB, 8, TOP + 2 * MiB, 9, TOP + 3 * MiB];
    expect(told(stack, { threads })).toEqual(['guard? guard', 'thread-stack? thread stack']);
  });

  it('do not make other memory that a pointer is in theirs', () => {
    const bss = beside(TOP, [KiB, 'r-x', LIBC], [KiB, 'rw-', LIBC], [64 * KiB, 'rw-']);
    expect(told(bss, { threads: [7, TOP + 2 * KiB + 100] })[2]).toBe('library? libc.so.6 (bss)');
    const base = Math.ceil(TOP / (64 * MiB)) * 64 * MiB;
    const arena = beside(base, [MiB, 'rw-'], [63 * MiB, '---']);
    expect(told(arena, { threads: [7, base + 100] })[0]).toBe('libc-arena? malloc arena');
  });

  it('are guesses by their guard where no pointer is known, or it is elsewhere', () => {
    for (const threads of [[], [7, 0], [7, TOP - MiB], [7, TOP], [7, 2 ** 47]]) {
      expect(told(stack, { threads })).toEqual(['guard? guard', 'thread-stack? thread stack']);
    }
  });

  it('need a small guard right below', () => {
    expect(told(beside(TOP, [8 * MiB, 'rw-']))).toEqual(['anonymous anonymous']);
    expect(told(beside(TOP, [MiB, '---'], [8 * MiB, 'rw-']))[1]).toBe('anonymous anonymous');
    const [guard, data] = stack as [Row, Row];
    const apart = { ...data, start: data.start + 4 * KiB };
    expect(told([guard, apart])).toEqual(['guard? guard', 'anonymous anonymous']);
  });
});

describe('malloc', () => {
  const base = Math.ceil(TOP / (64 * MiB)) * 64 * MiB;

  it('has arenas of 64 MiB at multiples of it', () => {
    const arena = beside(base, [132 * KiB, 'rw-'], [64 * MiB - 132 * KiB, '---']);
    expect(told(arena)).toEqual(['libc-arena? malloc arena', 'libc-arena? malloc arena']);
    expect(told(arena, { program: '/usr/bin/python3' })).toEqual(told(arena));
  });

  it('has none elsewhere, or of another size', () => {
    const off = beside(base + MiB, [MiB, 'rw-'], [63 * MiB, '---']);
    expect(told(off, { program: undefined })).toEqual([
      'anonymous anonymous',
      'anonymous reserved',
    ]);
    const small = beside(base, [MiB, 'rw-'], [62 * MiB, '---']);
    expect(told(small, { program: undefined })[0]).toBe('anonymous anonymous');
  });
});

it('what follows upon the last segment of a library is its own', () => {
  const rows = beside(TOP, [KiB, 'r-x', LIBC], [KiB, 'rw-', LIBC], [KiB, 'rw-'], [KiB, 'rw-']);
  expect(told(rows).slice(2)).toEqual(['library? libc.so.6 (bss)', 'anonymous anonymous']);
  const afterCode = beside(TOP, [KiB, 'r-x', LIBC], [KiB, 'rw-']);
  expect(told(afterCode)[1]).toBe('anonymous anonymous');
  const afterFile = beside(TOP, [KiB, 'r--', '/data'], [KiB, 'rw-']);
  expect(told(afterFile)[1]).toBe('anonymous anonymous');
});

describe('V8', () => {
  const other = { program: '/usr/bin/python3' };

  it('has its heap at multiples of 256 KiB below 2^46', () => {
    const low = 0x1234_0000_0000;
    const rows = [
      ...beside(low, [256 * KiB, 'rw-']),
      ...beside(low + MiB, [300 * KiB, 'rw-']),
      ...beside(low + 2 * MiB, [64 * KiB, 'r--'], [64 * KiB, '---'], [64 * KiB, 'r--']),
      ...beside(low + 3 * MiB + 4 * KiB, [256 * KiB, 'rw-']),
      ...beside(low + 4 * MiB, [256 * KiB, 'rw-s', '/dev/zero (deleted)']),
      ...beside(TOP, [256 * KiB, 'rw-']),
    ];
    const heap = 'v8-heap? V8 heap';
    expect(told(rows)).toEqual([
      heap,
      heap,
      heap,
      heap,
      heap,
      'anonymous anonymous',
      'shared-memory zero',
      'anonymous anonymous',
    ]);
    expect(told(rows, other)[0]).toBe('anonymous anonymous');
  });

  it('has wasm memories with 8 GiB or more of nothing', () => {
    const plain = beside(TOP, [64 * KiB, 'rw-'], [8 * GiB - 64 * KiB, '---']);
    expect(told(plain)).toEqual(['wasm? WebAssembly memory', 'wasm? WebAssembly memory']);
    const guarded = beside(TOP, [2 * GiB, '---'], [64 * KiB, 'rw-'], [8 * GiB, '---']);
    expect(new Set(told(guarded))).toEqual(new Set(['wasm? WebAssembly memory']));
    const full = beside(TOP, [4 * GiB, 'rw-'], [4 * GiB, '---']);
    expect(new Set(told(full))).toEqual(new Set(['wasm? WebAssembly memory']));
    expect(new Set(told(beside(TOP, [10 * GiB, '---'])))).toEqual(
      new Set(['wasm? WebAssembly memory']),
    );
    expect(told(plain, other)).toEqual(['anonymous anonymous', 'anonymous reserved']);
    expect(told(beside(TOP, [2 ** 40, '---']))).toEqual(['v8-cage? V8 reservation']);
  });

  it('has a code range: pages in a reservation, and the builtins again, which makes it certain', () => {
    const parts: [number, string, string?][] = [
      [8 * KiB, 'rw-'],
      [4 * KiB, '---'],
      [240 * KiB, 'rwx'],
      [498 * MiB - 252 * KiB, '---'],
      [2 * MiB, 'r-x', NODE],
      [12 * MiB, '---'],
    ];
    const rows = [
      ...beside(TOP - 64 * MiB, [KiB, 'r-x', NODE]),
      ...beside(TOP, ...parts, [128 * MiB, '---']),
    ];
    const code = 'v8-code V8 code range';
    expect(told(rows)).toEqual([
      'executable node',
      code,
      code,
      code,
      code,
      code,
      code,
      'v8-cage? V8 reservation',
    ]);
    const without = beside(TOP, ...parts.filter(([, , name]) => name === undefined));
    expect(new Set(told(without))).toEqual(new Set(['v8-code? V8 code range']));
    const open = beside(TOP, [500 * MiB, 'rwx'], [2 * MiB, 'r-x', NODE], [10 * MiB, 'rwx']);
    expect(new Set(told(open))).toEqual(new Set([code]));
  });

  it('has the builtins of libnode in its code range, where that is what has V8', () => {
    const libnode = '/usr/lib/libnode.so.115';
    const rows = beside(TOP, [500 * MiB, 'rwx'], [2 * MiB, 'r-x', libnode], [10 * MiB, 'rwx']);
    expect(new Set(told(rows, { program: '/usr/bin/other' }))).toEqual(
      new Set(['v8-code V8 code range']),
    );
  });

  it('is not certain of code that lies beside a file, and that file stays what it is', () => {
    const guess = 'v8-code? V8 code range';
    const library = beside(TOP, [40 * MiB, 'rwx'], [MiB, 'r-x', '/x/libold.so'], [MiB, 'rw-']);
    expect(told(library)).toEqual([guess, 'library libold.so', 'anonymous anonymous']);
    const [code, file] = library as [Row, Row];
    const held = (holder: number) => told([code, { ...file, name: '/x/libnode.so', holder }]);
    expect(held(1)).toEqual([guess, 'mapping libnode.so']);
    expect(held(3)).toEqual([guess, 'retired retired']);
  });

  it('ends its code range where nothing is mapped', () => {
    const [code, builtins, other] = beside(
      TOP,
      [40 * MiB, 'rwx'],
      [MiB, 'r-x', NODE],
      [MiB, 'rw-'],
    ) as [Row, Row, Row];
    const apart = { ...other, start: other.start + KiB, end: other.end + KiB };
    expect(told([code, builtins, apart])).toEqual([
      'v8-code V8 code range',
      'v8-code V8 code range',
      'anonymous anonymous',
    ]);
  });

  it('has no code range in a little memory that can be executed', () => {
    expect(told(beside(TOP, [64 * KiB, 'rwx']))).toEqual(['anonymous executable memory']);
    expect(told(beside(TOP, [64 * KiB, 'r-x'], [4 * KiB, '---']))).toEqual([
      'anonymous executable memory',
      'guard? guard',
    ]);
  });

  it('has tables at the beginning of what it reserves', () => {
    const table = beside(
      TOP,
      [64 * KiB, 'r--'],
      [192 * KiB, 'rw-'],
      [256 * MiB - 256 * KiB + 8 * KiB, '---'],
    );
    expect(new Set(told(table))).toEqual(new Set(['v8-cage? V8 reservation']));
    const apart = beside(TOP, [40 * MiB, 'rw-'], [128 * MiB, '---']);
    expect(told(apart)).toEqual(['anonymous anonymous', 'v8-cage? V8 reservation']);
    expect(told(apart, other)).toEqual(['anonymous anonymous', 'anonymous reserved']);
  });

  it.each([
    ['/usr/bin/nodejs', true],
    ['/opt/node-v24/bin/node24 (deleted)', true],
    ['/opt/electron/electron', true],
    ['/usr/bin/python3', false],
    ['/home/node/bin/server', false],
    [undefined, false],
  ])('is in %s: %p', (program, has) => {
    const [heap] = told(beside(0x1234_0000_0000, [256 * KiB, 'rw-']), { program });
    expect(heap).toBe(has ? 'v8-heap? V8 heap' : 'anonymous anonymous');
  });

  it('is in whoever has loaded it as a library', () => {
    const rows = [
      ...beside(0x1234_0000_0000, [256 * KiB, 'rw-']),
      ...beside(TOP, [MiB, 'r-x', '/usr/lib/libnode.so.115']),
    ];
    expect(told(rows, { program: '/usr/bin/other' })[0]).toBe('v8-heap? V8 heap');
  });
});

it('what nobody can tell is anonymous, and that is certain', () => {
  const rows = [
    ...beside(TOP, [4 * KiB, 'rw-']),
    ...beside(TOP + MiB, [512 * KiB, '---']),
    ...beside(TOP + 2 * MiB, [8 * KiB, '---']),
  ];
  expect(told(rows)).toEqual(['anonymous anonymous', 'anonymous reserved', 'guard? guard']);
  expect(told([])).toEqual([]);
});
