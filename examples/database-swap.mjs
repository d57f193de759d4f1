// Replaces a lookup database under its readers, as GeoIP files are: node examples/database-swap.mjs [VERSIONS]
//
// A new version is written beside the old one and renamed over it. follow reports it, reload() takes it
// up, and lookups go on: the old file stays mapped until then. Versions differ in length.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { mapFile } from 'memmap';

const versions = Number(process.argv[2] ?? 5);
const folder = mkdtempSync(join(tmpdir(), 'database-'));
const path = join(folder, 'countries.db');

/** Sorted records of 8 bytes: first address of a range, version of the database. */
function publish(version) {
  const records = 1000 * version;
  const bytes = new Uint32Array(2 * records);
  for (let at = 0; at < records; at++) bytes.set([at * 16, version], 2 * at);
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

/** Binary search; the Buffer is asked for anew, since reload() may have made another. */
function lookUp(database, address) {
  const { buffer } = database;
  let [low, high] = [0, buffer.length / 8 - 1];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (buffer.readUInt32LE(8 * middle) <= address) low = middle;
    else high = middle - 1;
  }
  return buffer.readUInt32LE(8 * low + 4);
}

publish(1);
const database = await mapFile(path, { follow: true, maxLength: 2 ** 30 });
database.on('change', ({ change }) => {
  if (change !== 'deleted') database.reload();
});
for (let version = 1; version <= versions; version++) {
  if (version > 1) {
    const reloaded = once(database, 'reload');
    publish(version);
    await reloaded;
  }
  if (lookUp(database, 5000) !== version) throw new Error('the lookup is of an old version');
  console.log(`version ${version}: ${database.length / 8} records`);
}
database.unmap();
rmSync(folder, { recursive: true });
