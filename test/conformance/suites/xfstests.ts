// xfstests, tests/generic, the part about mmap, each in its simplest form; MINIX, test 74.
import assert from 'node:assert/strict';
import {
  ftruncateSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { type Runs, cannotRead, holds, mmap, opened, suiteOf } from '../kit.js';
import { type Mapping, memmap, mustFault, pageSize, textOf } from '../tools.js';

const { mapFileSync } = memmap;
const half = pageSize / 2;

const page = (value: string | number): Buffer => Buffer.alloc(pageSize, value);

/** Stores through a mapping of a file whose times are old; what they are after a flush. */
function timesAfterStore(path: string): { modified: number; changed: number; before: number } {
  utimesSync(path, 1000, 1000);
  const before = statSync(path).ctimeMs;
  using m = mapFileSync(path, { access: 'read-write' });
  m.buffer[0] = 1;
  m.flushSync();
  const { mtimeMs, ctimeMs } = statSync(path);
  return { modified: mtimeMs, changed: ctimeMs, before };
}

const times: Runs = {
  'xfs.080'(t) {
    const { modified, changed, before } = timesAfterStore(t.file(page('a')));
    assert.ok(modified > 1_000_000, 'mtime');
    assert.ok(changed >= before, 'ctime');
  },
  'xfs.215'(t) {
    const { modified } = timesAfterStore(t.file(page('a')));
    assert.ok(modified > 1_000_000, 'mtime');
  },
};

const edges: Runs = {
  'xfs.029'(t) {
    const path = t.file(page('a'));
    using m = mapFileSync(path, { access: 'read-write' });
    truncateSync(path, half);
    // Past the end now: the store must not come back.
    m.write(half, Buffer.alloc(half, 'x'));
    truncateSync(path, pageSize);
    assert.ok(
      readFileSync(path).equals(Buffer.concat([Buffer.alloc(half, 'a'), Buffer.alloc(half)])),
    );
    holds(m, 0, { offset: half });
  },
  'xfs.141'(t) {
    const path = t.file(Buffer.concat([page('a'), page('b'), page('c')]));
    using m = mapFileSync(path, { offset: pageSize + 7, length: pageSize });
    assert.equal(textOf(m), 'b'.repeat(pageSize - 7) + 'c'.repeat(7));
  },
  'xfs.469'(t) {
    using file = opened(t.file(page('a')), 'r+');
    using m = mmap({ flags: 'SHARED', fd: file.fd });
    holds(m, 'a');
    ftruncateSync(file.fd, half);
    holds(m, 'a', { length: half });
    holds(m, 0, { offset: half });
    ftruncateSync(file.fd, pageSize);
    holds(m, 0, { offset: half });
  },
  'xfs.749'(t) {
    const path = t.file(Buffer.alloc(half, 'a'));
    using file = opened(path, 'r+');
    using m = mmap({ length: 2 * pageSize, flags: 'SHARED', fd: file.fd });
    holds(m, 0, { offset: half, length: half });
    m.write(half, 'past the end');
    m.flushSync({ length: pageSize });
    assert.ok(readFileSync(path).equals(Buffer.alloc(half, 'a')));
    cannotRead(m, pageSize);
    // SIGBUS in C.
    const fault = { kind: 'truncated', signal: 'SIGBUS', offset: pageSize } as const;
    mustFault(m, (bytes) => bytes[pageSize], fault);
  },
  'xfs.614'(t) {
    const path = t.file('');
    truncateSync(path, pageSize);
    assert.equal(statSync(path).blocks, 0);
    using m = mapFileSync(path, { access: 'read-write' });
    m.buffer.fill(1);
    m.flushSync();
    assert.ok(statSync(path).blocks > 0);
  },
};

const whole = (fd: number, pages: number): Mapping =>
  mmap({ length: pages * pageSize, flags: 'SHARED', fd });

const themselves: Runs = {
  'xfs.248'(t) {
    const path = t.file(page('a'));
    using file = opened(path, 'r+');
    using m = whole(file.fd, 1);
    assert.equal(writeSync(file.fd, m.buffer, 0, 16, 64), 16);
    assert.ok(readFileSync(path).equals(page('a')));
  },
  'xfs.638'(t) {
    const text = Buffer.concat([page('a'), page('b'), page('c'), page('d')]);
    const path = t.file(text);
    using m = mapFileSync(path, { access: 'read-write' });
    m.buffer.copyWithin(pageSize, 0, 3 * pageSize);
    text.copyWithin(pageSize, 0, 3 * pageSize);
    assert.ok(readFileSync(path).equals(text));
  },
  'xfs.647'(t) {
    const path = t.file(Buffer.concat([page('a'), page('b')]));
    using file = opened(path, 'r+');
    using m = whole(file.fd, 2);
    assert.equal(readSync(file.fd, m.buffer, pageSize, pageSize, 0), pageSize);
    assert.ok(readFileSync(path).equals(Buffer.alloc(2 * pageSize, 'a')));
    m.buffer.fill('c', 0, pageSize);
    assert.equal(writeSync(file.fd, m.buffer, 0, pageSize, pageSize), pageSize);
    assert.ok(readFileSync(path).equals(Buffer.alloc(2 * pageSize, 'c')));
  },
  'minix.test74.regression'(t) {
    using from = opened(t.file(page('a')), 'r');
    const path = t.scratch();
    using to = opened(path, 'w');
    using m = mmap({ prot: 'r', flags: 'PRIVATE', fd: from.fd });
    assert.equal(writeSync(to.fd, m.buffer), pageSize);
    assert.ok(readFileSync(path).equals(page('a')));
  },
};

export const suite = suiteOf({ ...times, ...edges, ...themselves });
