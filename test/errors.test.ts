import { constants } from 'node:os';
import { MapError, errnoOf, misuse } from '../lib/errors.js';

describe('MapError', () => {
  it('has the fields of a system error of Node', () => {
    const error = new MapError(-constants.errno.ENOMEM, 'mmap');
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'MapError',
      code: 'ENOMEM',
      errno: -constants.errno.ENOMEM,
      syscall: 'mmap',
      message: 'ENOMEM: not enough memory, mmap',
    });
  });

  it('says the path, the hint and what else is known, and nothing that is not', () => {
    const error = new MapError(-constants.errno.EACCES, 'mmap', {
      path: '/a file',
      hint: 'open it for writing',
      address: 0x1000n,
      length: undefined,
    });
    expect(error.message).toBe("EACCES: permission denied, mmap '/a file' (open it for writing)");
    expect(error.path).toBe('/a file');
    expect(error.address).toBe(0x1000n);
    expect('length' in error).toBe(false);
    expect('conflicts' in error).toBe(false);
  });

  it('keeps the number of an error that has no name', () => {
    const error = new MapError(-9999, 'mmap');
    expect(error.errno).toBe(-9999);
    expect(error.code).toBe('errno 9999');
  });
});

it('errnoOf gives the negative number of a name, 0 for no name', () => {
  expect(errnoOf('EEXIST')).toBe(-constants.errno.EEXIST);
  expect(errnoOf('EWHATEVER')).toBe(0);
});

describe('misuse', () => {
  it.each([
    ['RANGE', RangeError],
    ['OVERLAP', RangeError],
    ['FOREIGN', RangeError],
    ['ARGUMENT', TypeError],
    ['UNMAPPED', TypeError],
    ['BUSY', TypeError],
    ['READ_ONLY', TypeError],
    ['UNSUPPORTED', TypeError],
  ] as const)('%s', (kind, type) => {
    const error = misuse(kind, 'what happened', { hint: 'what to do', argument: 'length' });
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({
      code: `ERR_MEMMAP_${kind}`,
      message: 'what happened (what to do)',
      argument: 'length',
    });
  });
});
