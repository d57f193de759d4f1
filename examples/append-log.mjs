// An append-only log that grows in place under a reader in another process: node examples/append-log.mjs FILE [RECORDS]
//
//   | length | text ... | length | text ... | 0 0 0 ...
//
// A record counts once its length is not zero, and its length is written after its text.
import { fork } from 'node:child_process';
import { mapFileSync } from 'memmap';

const MOST = 2 ** 30;
const HEADER = 4;
const [path, records = '1000'] = process.argv.slice(2);
if (!path) throw new Error('usage: node examples/append-log.mjs FILE [RECORDS]');

/** The writer: opens the log, continues behind the last record. */
function write(count) {
  const log = mapFileSync(path, { access: 'read-write', create: true, maxLength: MOST });
  for (let record = 0; record < count; record++) {
    const text = Buffer.from(`record ${record}`);
    const at = log.append(Buffer.concat([Buffer.alloc(HEADER), text]));
    // Aligned or not, the length is published by one copy of four bytes.
    const length = Buffer.alloc(HEADER);
    length.writeUInt32LE(text.length);
    log.write(at, length);
  }
  return log;
}

/** The reader: takes what is there, and reloads where the file has grown. */
async function read(count) {
  const log = mapFileSync(path, { maxLength: MOST });
  const { address } = log;
  let position = 0;
  let last = '';
  for (let seen = 0; seen < count;) {
    const length = position + HEADER <= log.length ? log.buffer.readUInt32LE(position) : 0;
    if (length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      log.reload();
      continue;
    }
    last = log.buffer.toString('utf8', position + HEADER, position + HEADER + length);
    position += HEADER + length;
    seen++;
  }
  if (log.address !== address) throw new Error('the mapping moved');
  console.log(`the reader saw ${count} records, the last: ${last}`);
}

if (process.send === undefined) {
  const log = write(0);
  const reader = fork(process.argv[1], [path, records]);
  const done = new Promise((resolve) => reader.on('exit', resolve));
  log.unmap();
  const writer = write(Number(records));
  console.log(`${records} records in ${writer.length} bytes`);
  if ((await done) !== 0) throw new Error('the reader failed');
  writer.unmap();
} else {
  await read(Number(records));
  process.disconnect();
}
