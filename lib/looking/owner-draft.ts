// A classification while it is made: what is known of each row so far. Pure.
import { ACCESS, COLUMNS, END, MODE, SHARED, START, type Survey, countOf } from './survey.js';

/** Who a region belongs to. */
export const OWNER_KINDS = [
  'anonymous',
  'mapping',
  'reservation',
  'retired',
  'v8-heap',
  'v8-code',
  'v8-cage',
  'wasm',
  'executable',
  'library',
  'stack',
  'thread-stack',
  'libc-heap',
  'libc-arena',
  'kernel',
  'file',
  'shared-memory',
  'guard',
] as const;

/** Who a region belongs to: see docs/regions.md for what each of them means. */
export type OwnerKind = (typeof OWNER_KINDS)[number];

const OPEN = 255;

const codes = new Map<OwnerKind, number>(OWNER_KINDS.map((kind, code) => [kind, code]));

/** Rows by index, and what was found out about them; a row is open until somebody says what it is. */
export class Draft {
  readonly survey: Survey;
  readonly count: number;
  readonly #rows: Float64Array;
  readonly #kinds: Uint8Array;
  readonly #certain: Uint8Array;
  readonly #notes: Int32Array;

  constructor(survey: Survey) {
    this.survey = survey;
    this.count = countOf(survey);
    this.#rows = survey.rows;
    this.#kinds = new Uint8Array(this.count).fill(OPEN);
    this.#certain = new Uint8Array(this.count);
    this.#notes = new Int32Array(this.count).fill(-1);
  }

  cell(row: number, column: number): number {
    return this.#rows[row * COLUMNS + column] as number;
  }

  start(row: number): number {
    return this.#rows[row * COLUMNS + START] as number;
  }

  end(row: number): number {
    return this.#rows[row * COLUMNS + END] as number;
  }

  length(row: number): number {
    return this.end(row) - this.start(row);
  }

  access(row: number): number {
    return (this.#rows[row * COLUMNS + MODE] as number) & ACCESS;
  }

  isShared(row: number): boolean {
    return ((this.#rows[row * COLUMNS + MODE] as number) & SHARED) !== 0;
  }

  /** It exists, and nobody has said what it is. */
  isOpen(row: number): boolean {
    return this.#kinds[row] === OPEN;
  }

  /** It begins where the row before it ends. */
  follows(row: number): boolean {
    return row > 0 && row < this.count && this.start(row) === this.end(row - 1);
  }

  /** The kind by its code; rows without one are anonymous. */
  kind(row: number): OwnerKind {
    return OWNER_KINDS[this.#kinds[row] as number] ?? 'anonymous';
  }

  /** That nobody knows whose plain memory is, is certain. */
  certain(row: number): boolean {
    return this.#certain[row] !== 0 || this.isOpen(row);
  }

  /** A thread's number, or that of a name; -1: none. */
  note(row: number): number {
    return this.#notes[row] as number;
  }

  know(row: number, kind: OwnerKind, note = -1): void {
    this.#set(row, kind, 1, note);
  }

  guess(row: number, kind: OwnerKind, note = -1): void {
    this.#set(row, kind, 0, note);
  }

  #set(row: number, kind: OwnerKind, certain: number, note: number): void {
    this.#kinds[row] = codes.get(kind) as number;
    this.#certain[row] = certain;
    this.#notes[row] = note;
  }
}
