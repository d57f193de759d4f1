// Appending to a mapped file: a memory copy for each call, and system calls only when the file has to
// become longer.
import { closeSync, ftruncateSync } from 'node:fs';
import { native, pageSize } from '../binding.js';
import { MapError, misuse } from '../errors.js';
import { growFileSync, openFileAgain } from '../file.js';
import type { Mapping } from '../mapping.js';
import { liveOf } from '../live.js';
import { roundUp } from '../page.js';
import { whereOf } from '../ranges.js';
import type { MappingRecord } from '../record.js';
import { mustBeWhole } from '../faults.js';
import { fileCapacity } from '../resize.js';
import { bytesOf, mustBeWritable } from '../transfer.js';
import { byteLengthOf } from '../true-bytes.js';
import { makeView } from '../views.js';

const LEAST_STEP = 2 ** 16;
const MOST_STEP = 2 ** 22;
const WINDOW = 2 ** 26;

/** Appenders whose file is longer than what was written. */
const open = new Set<Appender>();
let watchesExit = false;

function trimAll(): void {
  for (const appender of [...open]) {
    try {
      appender.close();
    } catch {
      // Nobody is left to be told; the file keeps its zeros.
    }
  }
}

//   0                     record.length           #size          maxLength
//   |=== what was written ====|.... zeros, allocated ....|   not in the file   |
export class Appender {
  readonly #mapping: Mapping;
  readonly #record: MappingRecord;
  readonly #fd: number;
  /** Bytes of the mapping that the file has. */
  #size: number;
  #view: Buffer = Buffer.alloc(0);
  #viewStart = 0;
  #closed = false;

  constructor(mapping: Mapping) {
    const record = liveOf(mapping);
    const { contents, length } = record;
    if (fileCapacity(record) === undefined) {
      throw misuse('UNSUPPORTED', 'append() needs a mapping that can grow in place', {
        ...whereOf(record),
        hint: 'map the file with { maxLength }',
      });
    }
    mustBeWritable(record, 0, length);
    this.#mapping = mapping;
    this.#record = record;
    this.#size = length;
    this.#fd = openFileAgain(contents.path, contents);
    open.add(this);
    if (!watchesExit) {
      watchesExit = true;
      process.on('exit', trimAll);
    }
  }

  /** Copies bytes behind the last one and gives the offset of the first. */
  append(source: unknown): number {
    const record = this.#record;
    if (record.state !== 'mapped') liveOf(this.#mapping);
    const isBytes = source instanceof Uint8Array && byteLengthOf(source) > 0;
    const bytes = isBytes ? source : bytesOf(source);
    const at = record.length;
    const end = at + byteLengthOf(bytes);
    if (end > this.#size) this.#grow(end);
    const view = this.#view;
    const from = at - this.#viewStart;
    if (from >= 0 && end - this.#viewStart <= view.length) SET.call(view, bytes, from);
    else this.#viewFor(at, end).set(bytes);
    record.length = end;
    return at;
  }

  #grow(end: number): void {
    const record = this.#record;
    mustBeWhole(record);
    const most = fileCapacity(record) ?? 0;
    if (end > most) {
      throw misuse(
        'RANGE',
        `the mapping cannot become longer than maxLength: ${String(most)} bytes`,
        {
          ...whereOf(record),
          length: most,
          hint: 'map the file again with a larger maxLength',
        },
      );
    }
    mustBeWritable(record, record.length, end - record.length);
    const step = Math.min(MOST_STEP, Math.max(LEAST_STEP, Math.floor(this.#size / 8)));
    const wanted = Math.min(most, roundUp(Math.max(end, this.#size + step), pageSize));
    try {
      this.#setSize(wanted);
    } catch (error) {
      // Nearly full: what is asked for may still fit.
      if (!(error instanceof MapError) || error.code !== 'ENOSPC' || wanted === end) throw error;
      this.#setSize(end);
    }
  }

  #setSize(size: number): void {
    const { contents } = this.#record;
    const file = { fd: this.#fd, path: contents.path, created: false };
    growFileSync(file, { size: contents.fileOffset + size, allocate: true });
    this.#populate(this.#size, Math.min(size, this.#size + MOST_STEP));
    this.#size = size;
  }

  /** The bytes [at, end) for writing; keeps a window for the calls that follow. */
  #viewFor(at: number, end: number): Buffer {
    const most = fileCapacity(this.#record) ?? end;
    const length = Math.min(Math.max(WINDOW, end - at), most - at);
    this.#view = makeView(this.#mapping, this.#record, { offset: at, length });
    this.#viewStart = at;
    return this.#view;
  }

  /** Many pages in one call: a fault for each costs several times as much. Only a hint. */
  #populate(from: number, to: number): void {
    const { start, lead } = this.#record;
    const first = roundUp(start + lead + from, pageSize);
    const last = start + roundUp(lead + to, pageSize);
    if (first < last) native.populate(first, last - first, 1);
  }

  /** Cuts the file to what was written. */
  trim(): void {
    const { contents, length } = this.#record;
    if (this.#closed || this.#size <= length) return;
    try {
      ftruncateSync(this.#fd, contents.fileOffset + length);
    } catch (error) {
      const { errno, syscall } = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      throw new MapError(errno, syscall ?? 'ftruncate', { path: contents.path });
    }
    this.#size = length;
  }

  close(): void {
    if (this.#closed) return;
    open.delete(this);
    try {
      this.trim();
    } finally {
      this.#closed = true;
      closeSync(this.#fd);
    }
  }
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with a Buffer
const SET = Uint8Array.prototype.set;
