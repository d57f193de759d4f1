// A ring buffer without a seam: node examples/ring-buffer.mjs [MESSAGES]
//
// One file is mapped twice, side by side, and one Buffer lies across both. What is written past the end
// of the first appears at its beginning, so that no message is ever in two pieces:
//
//   file:              [ abcdefgh ]
//   memory:            [ abcdefgh | abcdefgh ]
//   a message at 6:            gh   ab           one range of the Buffer
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allocationGranularity, reserve } from 'memmap';

class Ring {
  #reservation;
  #buffer;
  #size;
  #head = 0;
  #tail = 0;
  /** How many messages lay across the end. */
  wrapped = 0;

  constructor(size) {
    const folder = mkdtempSync(join(tmpdir(), 'ring-'));
    const file = openSync(join(folder, 'ring'), 'w+');
    rmSync(folder, { recursive: true });
    ftruncateSync(file, size);
    /** @type {import('memmap').Source} */
    const source = { file, length: size, access: 'read-write' };
    this.#reservation = reserve(2 * size);
    this.#reservation.placeAll([
      { offset: 0, source },
      { offset: size, source },
    ]);
    closeSync(file); // what is mapped stays
    this.#buffer = this.#reservation.view(0, 2 * size);
    this.#size = size;
  }

  /** False when there is no room. */
  push(text) {
    const length = Buffer.byteLength(text);
    if (4 + length > this.#size - (this.#head - this.#tail)) return false;
    const at = this.#head % this.#size;
    this.#buffer.writeUInt32LE(length, at);
    this.#buffer.write(text, at + 4);
    this.#head += 4 + length;
    if (at + 4 + length > this.#size) this.wrapped++;
    return true;
  }

  /** The oldest message; undefined when there is none. */
  shift() {
    if (this.#tail === this.#head) return undefined;
    const at = this.#tail % this.#size;
    const length = this.#buffer.readUInt32LE(at);
    this.#tail += 4 + length;
    return this.#buffer.toString('utf8', at + 4, at + 4 + length);
  }

  /** Whether both halves of the Buffer have the same bytes: they are the same memory. */
  get isOne() {
    const { length } = this.#buffer;
    return this.#buffer.subarray(0, length / 2).equals(this.#buffer.subarray(length / 2));
  }

  [Symbol.dispose]() {
    this.#reservation.release();
  }
}

const count = Number(process.argv[2] ?? 100_000);
const ring = new Ring(allocationGranularity);
const message = (number) => `message ${number} ${'ö'.repeat((number * 31) % 600)}`;

let sent = 0;
for (let received = 0; received < count; received++) {
  while (sent < count && ring.push(message(sent))) sent++;
  const text = ring.shift();
  if (text !== message(received)) throw new Error(`message ${received} is ${text}`);
}
if (!ring.isOne) throw new Error('the two halves differ');
console.log(`${count} messages through ${allocationGranularity} bytes, each in one piece`);
console.log(`${ring.wrapped} of them lay across the end`);
ring[Symbol.dispose]();
