// Finds a text in a file of any length: node examples/search.mjs TEXT FILE
// Without FILE it makes a sparse file of 6 GiB with the text near its end.
import { closeSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapFileSync } from 'memmap';

const [text = 'needle', given] = process.argv.slice(2);
const path = given ?? join(tmpdir(), `search-${process.pid}`);
if (given === undefined) {
  const fd = openSync(path, 'w');
  truncateSync(path, 6 * 2 ** 30);
  writeSync(fd, text, 6 * 2 ** 30 - 1000);
  closeSync(fd);
}
const file = mapFileSync(path);
console.log(`'${text}' is at ${file.lastIndexOf(text)} of ${file.length} bytes`);
file.unmap();
if (given === undefined) rmSync(path);
