// The program of the manual page mmap(2), line by line: prints a part of a file.
//   node examples/port-from-c.mjs FILE OFFSET [LENGTH]
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { constants, pageSize, sys } from 'memmap';

const { PROT_READ, MAP_PRIVATE } = constants;
const [file, offsetText, lengthText] = process.argv.slice(2);
if (!file || !offsetText)
  throw new Error('usage: node examples/port-from-c.mjs FILE OFFSET [LENGTH]');

const fd = openSync(file, 'r');
const { size } = fstatSync(fd);
const offset = Number(offsetText);
if (offset >= size) throw new RangeError('offset is past end of file');

// The offset of mmap() must be a multiple of the page size. (mapFile takes any offset.)
const pageOffset = offset - (offset % pageSize);
const length = Math.min(lengthText ? Number(lengthText) : size - offset, size - offset);

// C: addr = mmap(NULL, length + offset - pa_offset, PROT_READ, MAP_PRIVATE, fd, pa_offset);
const mapping = sys.mmap(0, length + offset - pageOffset, PROT_READ, MAP_PRIVATE, fd, pageOffset);

// C: s = write(STDOUT_FILENO, addr + offset - pa_offset, length);
const written = writeSync(process.stdout.fd, mapping.view(offset - pageOffset, length));
if (written !== length) throw new Error('partial write');

// C: munmap(addr, length + offset - pa_offset); here the mapping that may go is named.
sys.munmap(mapping.address, mapping.length, { replace: mapping });
closeSync(fd);
