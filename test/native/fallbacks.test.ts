// What an older kernel or a sandbox does not have is gone round, and nobody above can tell: each program
// runs with one of the facilities denied, with all, and with none.

import { expectClean, runChild } from '../helpers/child';
import { Scratch, patterned } from '../helpers/files.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const facilities = ['noreplace', 'populate', 'procmap_query', 'process_vm', 'tmpfile'];
const denials = ['', ...facilities, facilities.join(',')];

/** The program's last line as JSON, run with facilities denied. */
async function told(denied: string, source: string): Promise<unknown> {
  const prelude = `
    const fs = require('node:fs');
    const P = memmap.pageSize;
    const path = ${JSON.stringify(scratch.file(patterned(100_000)))};
    const bytes = fs.readFileSync(path);
    const tell = (value) => console.log(JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? Number(each) : each)));
    const refused = (call) => { try { call(); return 'nothing'; } catch (error) { return error.code; } };
    const at = 0x2000000000;
  `;
  const result = await runChild(prelude + source, { env: { MEMMAP_DENY: denied } });
  expectClean(result);
  return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '');
}

describe.each(denials.map((denied) => [denied === '' ? 'nothing' : denied, denied]))(
  'without %s',
  (_name, denied) => {
    it('exclusive placement never replaces', async () => {
      const answer = await told(
        denied,
        `
        const m = memmap.mapAnonymous(2 * P, { address: at, placement: 'exclusive' });
        m.write(P, 'mine');
        const taken = [at, at + P, at - P].map((address) =>
          refused(() => memmap.mapAnonymous(2 * P, { address, placement: 'exclusive' })));
        const beside = memmap.mapAnonymous(P, { address: at + 2 * P, placement: 'exclusive' });
        const { PROT_READ, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED_NOREPLACE } = memmap.constants;
        const raw = refused(() => memmap.sys.mmap(at, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
        tell([taken, raw, m.read(P, 4).toString(), beside.address - m.address === BigInt(2 * P), memmap.registry.mappings().length]);
        `,
      );
      expect(answer).toEqual([['EEXIST', 'EEXIST', 'EEXIST'], 'EEXIST', 'mine', true, 2]);
    });

    it('read and write copy through the kernel and throw instead of faulting', async () => {
      const answer = await told(
        denied,
        `
        const m = memmap.mapFileSync(path, { access: 'read-write', offset: 3 });
        const equal = [m.read(0, m.length), await m.readAsync(0, m.length)].map((copy) => copy.equals(bytes.subarray(3)));
        m.write(50_000, 'written'); await m.writeAsync(60_000, 'later');
        const text = fs.readFileSync(path, 'latin1');
        fs.truncateSync(path, P);
        const gone = [() => m.read(0, m.length), () => m.read(3 * P, 1), () => m.write(3 * P, 'x')].map(refused);
        const later = await Promise.all([m.readAsync(3 * P, 1), m.writeAsync(3 * P, 'x')].map((each) => each.catch((error) => error.code)));
        const closed = memmap.mapAnonymous(2 * P);
        closed.protect('none', { offset: P });
        gone.push(refused(() => closed.read(P - 10, 20)), refused(() => closed.read(P, 1)));
        tell([equal, text.slice(50_003, 50_010), text.slice(60_003, 60_008), gone, later, closed.read(0, 1)[0]]);
        `,
      );
      const fault = 'EFAULT';
      expect(answer).toEqual([
        [true, true],
        'written',
        'later',
        [fault, fault, fault, fault, fault],
        [fault, fault],
        0,
      ]);
    });

    it('populate and prefetch fault pages in, and past the end are errors', async () => {
      const answer = await told(
        denied,
        `
        const own = memmap.mapAnonymous(16 * P, { populate: true });
        const shared = memmap.mapAnonymous(16 * P, { shared: true });
        await shared.prefetch({ offset: P, length: 2 * P });
        const m = memmap.mapFileSync(path, { access: 'copy-on-write', populate: true });
        const smaps = fs.readFileSync('/proc/self/smaps', 'utf8');
        const dirty = Number(smaps.slice(smaps.indexOf(path)).match(/Private_Dirty: +(\\d+) kB/)[1]);
        const same = m.buffer.equals(bytes);
        fs.truncateSync(path, P);
        const cut = await memmap.mapFileSync(path).prefetch().then(() => 'read');
        const gone = await m.prefetch({ offset: 4 * P }).then(() => 'read', (error) => error.code);
        const shown = memmap.mapFileSync(path);
        fs.truncateSync(path, 0);
        const lost = await shown.prefetch().then(() => 'read', (error) => error.code);
        tell([own.residency().resident, shared.residency().resident, dirty * 1024 === Math.ceil(bytes.length / P) * P, same, cut, gone, lost]);
        `,
      );
      expect(answer).toEqual([16, 2, true, true, 'read', 'EFAULT', 'EFAULT']);
    });

    it('verify reads the kernel’s list, and foreign pages are known', async () => {
      const answer = await told(
        denied,
        `
        const { PROT_READ, MADV_NORMAL } = memmap.constants;
        const all = [memmap.mapAnonymous(5 * P), memmap.mapAnonymous(P, { shared: true }), memmap.mapFileSync(path, { offset: 5000 })];
        all[0].protect('read', { offset: P, length: P });
        const code = BigInt('0x' + fs.readFileSync('/proc/self/maps', 'utf8').split('\\n').find((line) => line.includes(' r-xp ')).split('-')[0]);
        const hole = memmap.mapAnonymous(P, { address: at, placement: 'exclusive' });
        hole.unmap();
        tell([
          memmap.registry.verify().length,
          refused(() => memmap.sys.mprotect(code, P, PROT_READ)),
          refused(() => memmap.sys.madvise(at, P, MADV_NORMAL)),
          refused(() => memmap.sys.munmap(at, P)),
        ]);
        `,
      );
      expect(answer).toEqual([0, 'ERR_MEMMAP_FOREIGN', 'ENOMEM', 'nothing']);
    });

    it('overlays are staged: what cannot be mapped destroys nothing', async () => {
      const answer = await told(
        denied,
        `
        const { PROT_READ, MAP_PRIVATE, MAP_FIXED } = memmap.constants;
        const m = memmap.mapAnonymous(2 * P);
        m.buffer.fill(7);
        const fd = fs.openSync('/proc/version', 'r');
        const code = refused(() => memmap.sys.mmap(m.address, 2 * P, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0, { replace: m }));
        const kept = m.buffer.every((byte) => byte === 7);
        const view = m.buffer;
        m.replace({ file: path, length: 2 * P });
        const shown = view.equals(bytes.subarray(0, 2 * P));
        m.resize(P);
        m.unmap();
        tell([code, kept, shown, m.state, memmap.registry.verify().length]);
        `,
      );
      expect(answer).toEqual(['EIO', true, true, 'unmapped', 0]);
    });
  },
);

it('denying is seen: the errors name the calls that were made instead', async () => {
  const source = `
    const m = memmap.mapAnonymous(P);
    m.protect('none');
    let syscall = '';
    try { m.read(0, 1); } catch (error) { syscall = error.syscall; }
    const populated = await m.prefetch().catch((error) => error.syscall);
    tell([syscall, populated]);
  `;
  expect(await told('', source)).toEqual(['process_vm_readv', 'madvise']);
  expect(await told('populate', source)).toEqual(['process_vm_readv', 'process_vm_readv']);
  expect(await told('process_vm', source)).toEqual(['write', 'madvise']);
});
