import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { mapFile, mapFileSync, pageSize, registry, sys } from '../lib/index.js';
import { Scratch } from './helpers/files.js';

const scratch = new Scratch();
const MiB = 2 ** 20;

afterAll(() => scratch.remove());
afterEach(() => {
  expect(registry.verify()).toEqual([]);
  for (const mapping of registry.mappings()) mapping.unmap();
});

const error = (fields: object): Error => expect.objectContaining(fields) as Error;

/** What another process finds in a file. */
const seenOutside = (path: string): Buffer => execFileSync('cat', [path], { maxBuffer: 64 * MiB });

describe('maxLength', () => {
  it('lets resize() grow in place: the address stays, and every Buffer', () => {
    const path = scratch.file('abc');
    const m = mapFileSync(path, { access: 'read-write', maxLength: 64 * MiB });
    const { address, buffer } = m;
    expect(m.length).toBe(3);
    m.resize(10 * MiB);
    expect(m.address).toBe(address);
    expect(buffer.toString()).toBe('abc');
    expect(m.buffer).toHaveLength(10 * MiB);
    m.buffer.write('end', 10 * MiB - 3);
    expect(seenOutside(path).subarray(-3).toString()).toBe('end');
    expect(fs.statSync(path).size).toBe(10 * MiB);
  });

  it('bounds the mapping, which stays as it was', () => {
    const m = mapFileSync(scratch.file('abc'), { access: 'read-write', maxLength: 100 });
    expect(() => {
      m.resize(101);
    }).toThrow(error({ code: 'ERR_MEMMAP_RANGE', length: 100 }));
    m.resize(100);
    expect(m.length).toBe(100);
    expect(() => mapFileSync(scratch.file('abc'), { maxLength: 2 })).toThrow(
      error({ code: 'ERR_MEMMAP_RANGE' }),
    );
    expect(() => mapFileSync(scratch.file('abc'), { maxLength: 9, access: 'snapshot' })).toThrow(
      error({ code: 'ERR_MEMMAP_UNSUPPORTED' }),
    );
  });

  it('maps an empty file too, and shrinks by detaching', () => {
    const m = mapFileSync(scratch.file(''), { access: 'read-write', maxLength: MiB });
    expect(m.buffer).toHaveLength(0);
    m.resize(2 * pageSize);
    const { buffer } = m;
    m.resize(pageSize);
    expect(buffer).toHaveLength(0);
    expect(m.buffer).toHaveLength(pageSize);
  });

  it('takes the part of a mapping that sys.munmap leaves', () => {
    const m = mapFileSync(scratch.file(Buffer.alloc(100)), { maxLength: 4 * pageSize });
    sys.munmap(m.address, pageSize, { replace: m });
    expect(m.parts.map(({ length }) => length)).toEqual([3 * pageSize]);
    m.unmap();
    expect(m.parts).toEqual([]);
  });
});

describe('append', () => {
  it('writes behind the last byte; trim() and unmap() cut the file to what was written', () => {
    const path = scratch.path('log');
    const m = mapFileSync(path, { access: 'read-write', create: true, maxLength: 64 * MiB });
    expect(m.append('hello ')).toBe(0);
    expect(m.append(Buffer.from('world'))).toBe(6);
    const { buffer } = m;
    const record = Buffer.alloc(100, 'r');
    for (let count = 0; count < 50_000; count++) m.append(record);
    expect(buffer.toString()).toBe('hello world');
    expect(m.length).toBe(11 + 5_000_000);
    expect(fs.statSync(path).size).toBeGreaterThan(m.length);
    m.trim();
    expect(fs.statSync(path).size).toBe(m.length);
    m.append('!');
    m.unmap();
    expect(buffer).toHaveLength(0);
    const found = seenOutside(path);
    expect(found).toHaveLength(11 + 5_000_000 + 1);
    expect(found.subarray(11, -1).every((byte) => byte === record[0])).toBe(true);
  });

  it('is seen by another process at once', () => {
    const path = scratch.path('log');
    const m = mapFileSync(path, { access: 'read-write', create: true, maxLength: MiB });
    m.append('now');
    expect(seenOutside(path).subarray(0, 3).toString()).toBe('now');
  });

  it('stops at maxLength and appends nothing', () => {
    const m = mapFileSync(scratch.file(''), { access: 'read-write', maxLength: 10 });
    m.append('12345678');
    expect(() => m.append('abc')).toThrow(error({ code: 'ERR_MEMMAP_RANGE' }));
    expect(m.buffer.toString()).toBe('12345678');
    m.append('90');
    expect(m.buffer.toString()).toBe('1234567890');
  });

  it('needs maxLength, write access and the file that was mapped', () => {
    const plain = mapFileSync(scratch.file('x'), { access: 'read-write' });
    expect(() => plain.append('y')).toThrow(error({ code: 'ERR_MEMMAP_UNSUPPORTED' }));
    const readOnly = mapFileSync(scratch.file('x'), { maxLength: MiB });
    expect(() => readOnly.append('y')).toThrow(error({ code: 'ERR_MEMMAP_READ_ONLY' }));
    const path = scratch.file('x');
    const m = mapFileSync(path, { access: 'read-write', maxLength: MiB });
    fs.rmSync(path);
    fs.writeFileSync(path, 'other');
    expect(() => m.append('y')).toThrow(error({ code: 'ESTALE', syscall: 'open', path }));
    expect(fs.readFileSync(path, 'utf8')).toBe('other');
  });

  it('trims at the exit of the process', () => {
    const path = scratch.path('log');
    const program = `const m = require(${JSON.stringify(join(__dirname, '..'))}).mapFileSync(${JSON.stringify(path)},
      { access: 'read-write', create: true, maxLength: 1 << 20 }); m.append('kept');`;
    execFileSync(process.execPath, ['-e', program]);
    expect(fs.readFileSync(path, 'utf8')).toBe('kept');
  });
});

describe('status and reload', () => {
  it('tell what became of the file, and take it up', () => {
    const path = scratch.file('one');
    const m = mapFileSync(path);
    const first = m.buffer;
    expect(m.status()).toMatchObject({ change: 'same', size: 3 });

    fs.appendFileSync(path, 'two');
    expect(m.status()).toMatchObject({ change: 'grown', size: 6 });
    expect(m.reload()).toEqual({ detached: false, previousLength: 3, length: 6 });
    expect([first.toString(), m.buffer.toString()]).toEqual(['one', 'onetwo']);

    const other = scratch.file('another file');
    const { ino } = fs.statSync(other, { bigint: true });
    fs.renameSync(other, path);
    expect(m.status()).toMatchObject({ change: 'replaced', inode: ino });
    expect(m.reload()).toMatchObject({ detached: false, length: 12 });
    expect(m.buffer.toString()).toBe('another file');
    // dup2 for memory: the Buffer of before shows the bytes that are there now.
    expect(first.toString()).toBe('ano');

    fs.rmSync(path);
    expect(m.status()).toEqual({ change: 'deleted', size: 0, inode: 0n, mtimeMs: 0 });
    expect(() => m.reload()).toThrow(error({ code: 'ENOENT', syscall: 'open', path }));
    expect(m.buffer.toString()).toBe('another file');
  });

  it('reload takes up a longer file by moving, and says that Buffers were detached', () => {
    const path = scratch.file('short');
    const m = mapFileSync(path);
    const { buffer } = m;
    const events: unknown[] = [];
    m.on('reload', (done) => events.push(done));
    fs.writeFileSync(path, 'long'.repeat(10_000));
    const moved = m.reload();
    expect(moved).toMatchObject({ previousLength: 5, length: 40_000 });
    expect(buffer).toHaveLength(moved.detached ? 0 : 5);
    expect(m.buffer.toString()).toBe('long'.repeat(10_000));
    expect(events).toEqual([moved]);
  });

  it('reload begins again after a file was cut short and written anew', () => {
    const path = scratch.file(Buffer.alloc(5 * pageSize, 'x'));
    const m = mapFileSync(path);
    m.on('fault', () => undefined);
    fs.truncateSync(path, 0);
    expect(m.buffer[4 * pageSize]).toBe(0);
    expect(m.faults).toHaveLength(1);
    fs.writeFileSync(path, 'begun again');
    expect(m.reload()).toEqual({ detached: true, previousLength: 5 * pageSize, length: 11 });
    expect(m.buffer.toString()).toBe('begun again');
    expect(m.faults).toEqual([]);
  });

  it('reload throws the fault where written bytes would be lost', () => {
    const path = scratch.file(Buffer.alloc(2 * pageSize));
    const m = mapFileSync(path, { access: 'read-write' });
    m.on('fault', () => undefined);
    fs.truncateSync(path, 0);
    m.buffer.write('precious', pageSize);
    expect(() => m.reload()).toThrow(error({ code: 'ERR_MEMMAP_FAULT' }));
    expect(m.buffer.toString('utf8', pageSize, pageSize + 8)).toBe('precious');
  });

  it('reload takes an empty file and goes on from it', () => {
    const path = scratch.file('');
    const m = mapFileSync(path);
    expect(m.reload()).toEqual({ detached: false, previousLength: 0, length: 0 });
    fs.writeFileSync(path, 'bytes');
    expect(m.reload()).toEqual({ detached: false, previousLength: 0, length: 5 });
    expect(m.buffer.toString()).toBe('bytes');
    expect(registry.mappings()).toContain(m);
    fs.truncateSync(path, 0);
    expect(m.reload()).toMatchObject({ detached: true, length: 0 });
    expect([m.length, m.buffer.length]).toEqual([0, 0]);
    m.unmap();
    expect(m.state).toBe('unmapped');
  });

  it('reload({ path }) shows another file under the same Mapping', () => {
    const m = mapFileSync(scratch.file('version 1'));
    const next = scratch.file('version 2!');
    m.reload({ path: next });
    expect([m.buffer.toString(), m.path]).toEqual(['version 2!', next]);
    expect(m.status().change).toBe('same');
  });

  it('refuse what has no path, and leave the mapping', () => {
    const fd = fs.openSync(scratch.file('abc'), 'r');
    const m = mapFileSync(fd);
    expect(() => m.status()).toThrow(error({ code: 'ERR_MEMMAP_UNSUPPORTED' }));
    expect(() => m.reload()).toThrow(error({ code: 'ERR_MEMMAP_UNSUPPORTED' }));
    expect(() => m.reload({ path: 'a\0b' })).toThrow(error({ code: 'ERR_MEMMAP_ARGUMENT' }));
    expect(m.buffer.toString()).toBe('abc');
    fs.closeSync(fd);
    const pinned = mapFileSync(scratch.file('abc'));
    const pin = pinned.pin();
    expect(() => pinned.reload()).toThrow(error({ code: 'ERR_MEMMAP_BUSY' }));
    pin.release();
  });
});

describe('follow', () => {
  it("emits 'change' for growth, replacement and deletion", async () => {
    const path = scratch.file('1');
    const m = await mapFile(path, { follow: true });
    const next = (): Promise<{ change: string }> =>
      new Promise((resolve) => {
        m.once('change', resolve);
      });
    let change = next();
    fs.appendFileSync(path, '2');
    expect((await change).change).toBe('grown');
    m.reload();
    change = next();
    fs.renameSync(scratch.file('other'), path);
    expect((await change).change).toBe('replaced');
    m.reload();
    expect(m.buffer.toString()).toBe('other');
    change = next();
    fs.rmSync(path);
    expect((await change).change).toBe('deleted');
    expect(m.buffer.toString()).toBe('other');
  });

  it('keeps no process without a listener, and one with a listener until unmap()', () => {
    const program = `require(${JSON.stringify(join(__dirname, '..'))}).mapFileSync(process.argv[1], { follow: true });`;
    execFileSync(process.execPath, ['-e', program, scratch.file('x')], { timeout: 60_000 });
    const path = scratch.file('x');
    const listens = `const m = require(${JSON.stringify(join(__dirname, '..'))}).mapFileSync(process.argv[1], { follow: true });
      m.on('change', ({ change }) => { console.log(change); m.unmap(); });
      require('fs').appendFileSync(process.argv[1], 'y');`;
    const said = execFileSync(process.execPath, ['-e', listens, path], { encoding: 'utf8' });
    expect(said).toBe('grown\n');
  });
});

describe('replace by a longer file', () => {
  it('is refused unless source.length says which part is meant', () => {
    const m = mapFileSync(scratch.file('abc'));
    const longer = scratch.file('0123456789');
    expect(() => {
      m.replace({ file: longer });
    }).toThrow(error({ code: 'ERR_MEMMAP_RANGE', argument: 'source.length' }));
    expect(m.buffer.toString()).toBe('abc');
    m.replace({ file: longer, length: 3 });
    expect(m.buffer.toString()).toBe('012');
  });
});
