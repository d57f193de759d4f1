// An append-only log that survives a crash at any moment: node examples/append-log.mjs FILE TEXT...
//
//   0        8         used            size of the file
//   | used  | record  |  room to grow  |
//
// A record counts once `used` says so, and `used` is written only when the record is on the disk.
import { mapFileSync } from 'memmap';

const HEADER = 8;

class AppendLog {
  #mapping;

  /** @param {string} path */
  constructor(path) {
    this.#mapping = mapFileSync(path, { access: 'read-write', create: true, size: 4096 });
    if (this.#used === 0) this.#used = HEADER;
  }

  get #used() {
    return Number(this.#mapping.read(0, HEADER).readBigUInt64LE());
  }

  set #used(bytes) {
    const header = Buffer.alloc(HEADER);
    header.writeBigUInt64LE(BigInt(bytes));
    this.#mapping.write(0, header);
    this.#mapping.flushSync({ offset: 0, length: HEADER });
  }

  /** @param {string} text */
  append(text) {
    const record = Buffer.from(`${text}\n`);
    const at = this.#used;
    const end = at + record.length;
    // Grows the file too, with its blocks allocated: a full disk is ENOSPC here, and the log is as it was.
    if (end > this.#mapping.length) this.#mapping.resize(Math.max(end, 2 * this.#mapping.length));
    this.#mapping.write(at, record);
    this.#mapping.flushSync({ offset: at, length: record.length });
    this.#used = end;
  }

  records() {
    const text = this.#mapping.read(HEADER, this.#used - HEADER).toString();
    return text.split('\n').slice(0, -1);
  }

  get size() {
    return this.#mapping.length;
  }

  close() {
    this.#mapping.unmap();
  }
}

const [path, ...texts] = process.argv.slice(2);
if (!path) throw new Error('usage: node examples/append-log.mjs FILE TEXT...');

const log = new AppendLog(path);
for (const text of texts) log.append(text);
const records = log.records();
console.log(
  `${records.length} records in ${log.size} bytes, the last: ${records.at(-1) ?? 'none'}`,
);
log.close();
