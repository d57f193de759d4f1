// gVisor, test/syscalls/linux/memfd.cc, and mmap.cc where only x86-64 has the flag.
import assert from 'node:assert/strict';
import { all, mmap, modes, suiteOf } from '../kit.js';

const created = [
  'gv.MemfdTest.Name',
  'gv.MemfdTest.WriteRead',
  'gv.MemfdTest.Mmap',
  'gv.MemfdTest.DuplicateFDsShareContent',
  'gv.MemfdTest.CanOpenFromProcfs',
  'gv.MemfdTest.OtherProcessCanOpenFromProcfs',
];

const sealed = [
  'gv.MemfdTest.SealingDisabledByDefault',
  'gv.MemfdTest.SealGrowWithTruncate',
  'gv.MemfdTest.SealGrowWithWrite',
  'gv.MemfdTest.SealGrowPartialWriteTruncatedSamePage',
  'gv.MemfdTest.SealShrink',
  'gv.MemfdTest.SealWriteWithWrite',
  'gv.MemfdTest.NoPartialSealApplicationWhenWriteSealRejected',
  'gv.MemfdTest.SealsAreInodeLevelProperties',
  'gv.MemfdTest.MemfdMustBeWritableToModifySeals',
];

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
    waiting: { ...all('memfd creation', created), ...all('memfd seals', sealed) },
    inexpressible: has32Bit ? {} : { [id]: 'only x86-64 has MAP_32BIT' },
  },
);
