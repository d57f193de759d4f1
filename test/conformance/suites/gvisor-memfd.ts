// gVisor, test/syscalls/linux/memfd.cc, and mmap.cc where only x86-64 has the flag.
import assert from 'node:assert/strict';
import { mmap, modes, suiteOf } from '../kit.js';

const id = 'gv.MMapNoFixtureTest.Map32Bit';
const has32Bit = process.arch === 'x64';

export const suite = suiteOf(
  has32Bit
    ? {
        [id](t) {
          using m = mmap({ flags: 'PRIVATE ANONYMOUS 32BIT' });
          assert.ok(m.address < 2n ** 31n, `0x${m.address.toString(16)}`);
          assert.deepEqual(modes(t, m.address, 1), ['rw-p']);
        },
      }
    : {},
  {
    inexpressible: has32Bit ? {} : { [id]: 'only x86-64 has MAP_32BIT' },
  },
);
