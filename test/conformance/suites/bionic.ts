// Bionic tests/sys_mman_test.cpp.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Suite, Tools } from '../case.js';
import {
  anonymous,
  casesOf,
  constants,
  mustRefuse,
  opened,
  pageSize,
  readWrite,
  sys,
  textOf,
} from '../tools.js';

const { PROT_NONE, PROT_READ, MAP_SHARED, MREMAP_MAYMOVE, MREMAP_FIXED } = constants;
const { MADV_NORMAL, MADV_SEQUENTIAL, MADV_RANDOM, MADV_WILLNEED } = constants;

function mapsAndUnmaps(tools: Tools): void {
  const mapping = anonymous(4096);
  assert.equal(tools.smaps(mapping.address)['perms'], 'rw-p');
  sys.munmap(mapping.address, 4096, { replace: mapping });
  assert.deepEqual(tools.smaps(mapping.address), {});
}

function badOffset(tools: Tools): void {
  using file = opened(tools.file(Buffer.alloc(pageSize)));
  mustRefuse(() => sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, 1), 'EINVAL', 'mmap');
}

/** Three pages that begin and end with their number. */
const threePages = (): Buffer => {
  const pages = [1, 2, 3].map((number) => {
    const middle = '.'.repeat(pageSize - 10);
    return `page${number}${middle}page${number}`;
  });
  return Buffer.from(pages.join(''));
};

const cases = casesOf({
  'bionic.mmap_std': mapsAndUnmaps,
  'bionic.mmap64_std': mapsAndUnmaps,
  'bionic.mmap_file_bad_offset': badOffset,
  'bionic.mmap64_file_bad_offset': badOffset,

  'bionic.mmap_file_read'(tools) {
    const text = 'the text of a file\n';
    using file = opened(tools.file(text), 'r');
    using mapping = sys.mmap(0, text.length, PROT_READ, MAP_SHARED, file.fd, 0);
    assert.equal(textOf(mapping), text);
  },

  'bionic.mmap_file_read_at_offset'(tools) {
    using file = opened(tools.file(threePages()), 'r');
    for (const index of [1, 2]) {
      const offset = index * pageSize;
      using mapping = sys.mmap(0, pageSize, PROT_READ, MAP_SHARED, file.fd, offset);
      assert.equal(textOf(mapping, 0, 5), `page${index + 1}`);
      assert.equal(textOf(mapping, pageSize - 5), `page${index + 1}`);
      assert.equal(mapping.fileOffset, BigInt(offset));
    }
  },

  'bionic.mmap_file_write_at_offset'(tools) {
    const expected = threePages();
    const path = tools.file(expected);
    using file = opened(path);
    for (const index of [1, 2]) {
      const offset = index * pageSize;
      using mapping = sys.mmap(0, pageSize, readWrite, MAP_SHARED, file.fd, offset);
      mapping.write(0, 'PAGE');
      mapping.write(pageSize - 4, 'ENDS');
      expected.write('PAGE', offset);
      expected.write('ENDS', offset + pageSize - 4);
    }
    assert.ok(readFileSync(path).equals(expected));
  },

  'bionic.posix_madvise'(tools) {
    using file = opened(tools.file(threePages()));
    using mapping = sys.mmap(0, 3 * pageSize, readWrite, MAP_SHARED, file.fd, 0);
    const flagsAfter = (advice: number): string[] => {
      sys.madvise(mapping.address, 3 * pageSize, advice);
      return (tools.smaps(mapping.address)['VmFlags'] ?? '').split(' ');
    };
    assert.ok(flagsAfter(MADV_SEQUENTIAL).includes('sr'));
    assert.ok(flagsAfter(MADV_RANDOM).includes('rr'));
    assert.ok(!flagsAfter(MADV_NORMAL).some((flag) => flag === 'sr' || flag === 'rr'));
    flagsAfter(MADV_WILLNEED);
  },

  'bionic.mremap'() {
    mustRefuse(() => sys.mremap(0, 0, 0, 0), 'EINVAL', 'mremap');
  },

  'bionic.mremap_PTRDIFF_MAX'(tools) {
    using mapping = anonymous(pageSize);
    const call = () => sys.mremap(mapping.address, pageSize, 2n ** 63n, MREMAP_MAYMOVE);
    const { code, syscall } = tools.refused(call);
    // EINVAL since Linux 6.17, ENOMEM before.
    assert.ok(code === 'EINVAL' || code === 'ENOMEM', code);
    assert.equal(syscall, 'mremap');
    assert.deepEqual([mapping.state, mapping.length], ['mapped', pageSize]);
  },

  'bionic.mremap_MREMAP_FIXED'(tools) {
    using from = anonymous(pageSize);
    const onto = anonymous(pageSize);
    const { address } = onto;
    const old = from.address;
    from.write(0, 'moved');
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    sys.mremap(old, pageSize, pageSize, flags, address, { replace: onto });
    assert.deepEqual([from.address, onto.state], [address, 'replaced']);
    assert.equal(textOf(from, 0, 5), 'moved');
    assert.deepEqual(tools.smaps(old), {});
  },

  // The original asserts nothing; Linux locks the range and says that it cannot fault it in.
  'bionic.mlock'(tools) {
    using mapping = anonymous(pageSize, PROT_NONE);
    mustRefuse(() => sys.mlock(mapping.address, pageSize), 'ENOMEM', 'mlock');
    assert.match(tools.smaps(mapping.address)['VmFlags'] ?? '', /\blo\b/);
  },
});

export const suite: Suite = {
  cases,
  waiting: {},
  inexpressible: {
    'bionic.posix_madvise_POSIX_MADV_DONTNEED':
      'posix_madvise, which does nothing for DONTNEED, is of libc and not among the calls',
    'bionic.mlock2': 'mlock2 is not among the calls',
  },
};
