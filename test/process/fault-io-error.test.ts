// A disk that fails under a mapping: the image below a mounted loop device is cut short, and later whole again.
import { type ImageDisk, noLoop, withExt4 } from '../helpers/disks';
import { survives, testWhere } from './program';

const testDisk = testWhere(noLoop === undefined, noLoop ?? '');

const LENGTH = 1 << 20;

/** A file of a MiB on a disk of its own, of which no page is in memory when the child starts. */
const onDisk = (source: string, env: Record<string, string> = {}): Promise<void> =>
  withExt4(8 << 20, async (disk) => {
    await survives(`${tools(disk)}\nfs.writeFileSync(path, pattern());`);
    disk.again();
    await survives(tools(disk) + source, { env });
  });

const tools = ({ folder, image, kept }: ImageDisk) => `
const { execFileSync } = require('node:child_process');
const { errno } = require('node:os').constants;
const path = join(${JSON.stringify(folder)}, 'file');
const image = ${JSON.stringify(image)};
const kept = ${JSON.stringify(kept)};
const LENGTH = ${String(LENGTH)};
// No byte of it is zero.
const pattern = () => Buffer.from(Array.from({ length: LENGTH }, (_, at) => (at * 7 + (at >> 8) * 13) % 255 + 1));
const ioError = { code: 'ERR_MEMMAP_FAULT', kind: 'io-error', syscall: 'page_fault', errno: -errno.EIO };
const reads = () => execFileSync('cat', [path], { maxBuffer: 1 << 30 });

// From the block of the file's middle on the disk is gone. The kernel has read nothing of it yet.
function breakDisk() {
  const lines = execFileSync('filefrag', ['-v', '-b' + PAGE, path], { encoding: 'latin1' }).split('\\n');
  const extents = lines.map((line) => /^ *\\d+: +(\\d+)\\.\\. +(\\d+): +(\\d+)\\.\\. +(\\d+):/.exec(line)).filter(Boolean);
  assert.ok(extents.length > 0, lines.join('\\n'));
  const blocks = extents.map(([, , , from]) => Number(from));
  fs.truncateSync(image, Math.min(...blocks) * PAGE + LENGTH / 2);
}
// As it was, but for what was written since.
function mendDisk() {
  const from = fs.statSync(image).size;
  const fd = fs.openSync(image, 'r+');
  const rest = fs.readFileSync(kept).subarray(from);
  fs.writeSync(fd, rest, 0, rest.length, from);
  fs.closeSync(fd);
}
function open(access, options) {
  const m = memmap.mapFileSync(path, { access, ...options });
  m.told = [];
  m.on('fault', (error) => m.told.push(error));
  return m;
}
const lost = (m) => m.faults.reduce((sum, { length }) => sum + length, 0);
function areIoErrors(m) {
  assert.ok(m.faults.length > 0);
  for (const each of m.faults) {
    assert.deepEqual([each.kind, each.signal], ['io-error', 'SIGBUS']);
    assert.equal(each.fileOffset, m.fileOffset + BigInt(each.offset));
    assert.equal(each.address, m.address + BigInt(each.offset));
    assert.equal(each.length, each.count * PAGE);
  }
}
`;

const reading = (access: string) => `
const m = open('${access}');
const expected = pattern();
breakDisk();
const { buffer } = m;
// Not a fault of a Buffer: the call itself says so.
assert.throws(() => m.read(LENGTH - PAGE, PAGE), { code: 'EFAULT' });
await assert.rejects(m.prefetch({ offset: LENGTH - PAGE }), { code: 'EFAULT' });
assert.deepEqual(m.faults, []);
const copy = Buffer.from(buffer);
areIoErrors(m);
// The file system reads ahead as it likes: what is there is right, and what is not is zeros.
const [{ offset }] = m.faults;
assert.ok(offset > 0);
for (let at = 0; at < LENGTH; at += PAGE) {
  const bad = m.faults.some((fault) => fault.offset <= at && at < fault.offset + fault.length);
  const page = copy.subarray(at, at + PAGE);
  assert.equal(bad ? isAll(page, 0) : page.equals(expected.subarray(at, at + PAGE)), true, String(at));
}
assert.ok(lost(m) >= LENGTH / 4, String(lost(m)));
await turn();
assert.equal(m.told.length, m.faults.length);
for (const { code, kind, syscall, errno, mapping } of m.told) {
  assert.deepEqual({ code, kind, syscall, errno }, ioError);
  assert.equal(mapping, m);
}
assert.throws(() => m.read(offset, 1), ioError);
await assert.rejects(m.repair(), ioError);
await assert.rejects(m.flush(), ioError);
assert.equal(buffer.equals(copy), true);
assert.ok(m.faults.length > 0);
mendDisk();
await m.repair();
assert.deepEqual(m.faults, []);
assert.equal(buffer.equals(expected), true);
assert.equal(m.read(0, LENGTH).equals(expected), true);
await m.flush();
assert.equal(reads().equals(expected), true);
assert.deepEqual(memmap.registry.verify(), []);
`;

describe.each(['read', 'read-write', 'copy-on-write'])('access %s', (access) => {
  const denials = access === 'read' ? ['', 'procmap_query,process_vm,populate'] : [''];
  for (const denied of denials) {
    testDisk(
      `what cannot be read is told, and right again when the disk is${denied === '' ? '' : `, without ${denied}`}`,
      () => onDisk(reading(access), { MEMMAP_DENY: denied }),
    );
  }
});

testDisk('what was written where the disk fails comes to the file later', () =>
  onDisk(`
    const m = open('read-write');
    const { buffer } = m;
    const expected = pattern();
    breakDisk();
    for (let at = LENGTH / 2; at < LENGTH; at += PAGE) {
      buffer.write('written', at + 50);
      expected.write('written', at + 50);
    }
    areIoErrors(m);
    const bad = m.faults.map(({ offset, length }) => [offset, length]);
    assert.ok(lost(m) >= LENGTH / 4, String(lost(m)));
    await assert.rejects(m.flush(), ioError);
    await assert.rejects(m.repair(), ioError);
    for (let at = LENGTH / 2; at < LENGTH; at += PAGE) {
      assert.equal(buffer.toString('latin1', at + 50, at + 57), 'written');
    }
    assert.throws(() => m.write(bad[0][0], 'x'), ioError);
    mendDisk();
    await m.repair();
    await m.flush();
    assert.deepEqual(m.faults, []);
    assert.equal(buffer.equals(expected), true);
    assert.equal(reads().equals(expected), true);
  `),
);

testDisk('private pages: what was written stays with the mapping', () =>
  onDisk(`
    const m = open('copy-on-write');
    const { buffer } = m;
    const expected = pattern();
    const inFile = pattern();
    breakDisk();
    buffer.write('before', 5);
    expected.write('before', 5);
    for (let at = LENGTH / 2; at < LENGTH; at += PAGE) {
      buffer.write('private', at + 50);
      expected.write('private', at + 50);
    }
    areIoErrors(m);
    await assert.rejects(m.repair(), ioError);
    assert.equal(buffer.toString('latin1', LENGTH - PAGE + 50, LENGTH - PAGE + 57), 'private');
    mendDisk();
    await m.repair();
    assert.deepEqual(m.faults, []);
    assert.equal(buffer.equals(expected), true);
    assert.equal(reads().equals(inFile), true);
  `),
);

testDisk('met by the thread pool, and by the kernel', () =>
  onDisk(`
    const m = open('read');
    const expected = pattern();
    breakDisk();
    const fd = fs.openSync('/dev/null', 'w');
    const file = fs.openSync(scratch(0), 'w');
    assert.throws(() => fs.writeSync(file, m.buffer, LENGTH - PAGE, PAGE), { code: 'EFAULT', syscall: 'write' });
    assert.deepEqual(m.faults, []);
    const zlib = require('node:zlib');
    const packed = await require('node:util').promisify(zlib.deflate)(m.buffer, { level: 1 });
    areIoErrors(m);
    assert.notEqual(m.faults[0].thread, process.pid);
    const seen = zlib.inflateSync(packed);
    assert.equal(seen.equals(m.buffer), true);
    assert.equal(isAll(seen.subarray(LENGTH - PAGE), 0), true);
    mendDisk();
    await m.repair();
    assert.equal(m.buffer.equals(expected), true);
  `),
);

testDisk('guarded() throws it, with no other event', () =>
  onDisk(`
    const m = memmap.mapFileSync(path);
    breakDisk();
    const sum = () => m.buffer.reduce((total, byte) => total + byte, 0);
    assert.throws(() => m.guarded(sum), ioError);
    await turn();
    mendDisk();
    await m.repair();
    assert.equal(m.guarded(sum), pattern().reduce((total, byte) => total + byte, 0));
  `),
);
