// What the shape of plain memory says: its place, its alignment, what lies beside it. All of these
// are guesses but for a stack with its guard that a thread's stack pointer lies in. Pure.
import type { Draft } from './owner-draft.js';
import { isV8Library } from './owner-names.js';
import { EXECUTE, NAME, READ, WRITE, rowAt } from './survey.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const RW = READ | WRITE;

/** Guards are a few pages; that of a stack may be larger. */
const MOST_GUARD = 64 * KiB;
const MOST_STACK_GUARD = MiB;
/** More than that is memory in which somebody placed a stack. */
const MOST_STACK = GiB;

const isPlain = (draft: Draft, row: number): boolean => draft.isOpen(row) && !draft.isShared(row);
const isReserved = (draft: Draft, row: number): boolean =>
  isPlain(draft, row) && draft.access(row) === 0;
const isData = (draft: Draft, row: number): boolean =>
  isPlain(draft, row) && draft.access(row) === RW;

/** Open memory that stack pointers are in, by row: the thread whose it is, -1 where several are. */
function stacksOf(draft: Draft, threads: Float64Array): Map<number, number> {
  const found = new Map<number, number>();
  for (let i = 0; i < threads.length; i += 2) {
    const [thread = 0, pointer = 0] = threads.subarray(i, i + 2);
    const row = pointer === 0 ? -1 : rowAt(draft.survey, pointer);
    if (row < 0 || !isData(draft, row) || draft.length(row) > MOST_STACK) continue;
    found.set(row, found.has(row) ? -1 : thread);
  }
  return found;
}

/**
 * A stack begins at its guard: where there is none, a fiber or a signal handler may be running on a
 * piece of other memory. `threads`: pairs of a number and an address in its stack, 0 if not known.
 */
export function markStacks(draft: Draft, threads: Float64Array): void {
  for (const [row, thread] of stacksOf(draft, threads)) {
    const below = row - 1;
    if (thread < 0 || !draft.follows(row) || !isReserved(draft, below)) continue;
    if (draft.length(below) > MOST_STACK_GUARD) continue;
    draft.know(row, 'thread-stack', thread);
    draft.know(below, 'guard', thread);
  }
}

/**
 * Memory with a stack pointer in it that nothing else explains; and a page without access, then
 * writable memory: a stack of a thread that ran, or that has ended.
 */
export function guessStacks(draft: Draft, threads: Float64Array): void {
  for (const [row, thread] of stacksOf(draft, threads)) draft.guess(row, 'thread-stack', thread);
  for (let row = 1; row < draft.count; row++) {
    if (!draft.follows(row) || !isData(draft, row) || !isReserved(draft, row - 1)) continue;
    const length = draft.length(row);
    const guard = draft.length(row - 1);
    if (guard > MOST_GUARD || length < 32 * KiB || length > 64 * MiB) continue;
    draft.guess(row, 'thread-stack');
    draft.guess(row - 1, 'guard');
  }
}

/** What glibc takes for an arena: so much, and at a multiple of it. */
const ARENA = 64 * MiB;

//   | rw- in use |        --- not yet        |
//   64 MiB boundary                          64 MiB boundary
export function markArenas(draft: Draft): void {
  for (let row = 0; row + 1 < draft.count; row++) {
    const start = draft.start(row);
    if (start % ARENA !== 0 || !isData(draft, row)) continue;
    if (!draft.follows(row + 1) || !isReserved(draft, row + 1)) continue;
    if (draft.end(row + 1) - start !== ARENA) continue;
    draft.guess(row, 'libc-arena');
    draft.guess(row + 1, 'libc-arena');
  }
}

/** The memory behind the last segment of a program or library is its own: what starts as zero. */
export function markZeroSegments(draft: Draft): void {
  for (let row = 1; row < draft.count; row++) {
    if (!draft.follows(row) || !isData(draft, row)) continue;
    const kind = draft.kind(row - 1);
    if (kind !== 'executable' && kind !== 'library') continue;
    const isLast = draft.cell(row - 1, NAME) >= 0 && (draft.access(row - 1) & EXECUTE) === 0;
    if (isLast) draft.guess(row, kind, row - 1);
  }
}

/** An address of 32 bits and what lies behind it must never leave the reservation. */
const LEAST_WASM = 4 * GiB;
const MOST_WASM = 256 * GiB;

//   (--- 2 GiB) | rw- the memory | --- the rest of 8 GiB or more |
export function guessWasm(draft: Draft): void {
  for (let row = 0; row < draft.count; row++) {
    const length = draft.length(row);
    if (!isReserved(draft, row) || length < LEAST_WASM || length > MOST_WASM) continue;
    draft.guess(row, 'wasm');
    let first = row;
    if (draft.follows(first) && isData(draft, first - 1)) draft.guess(--first, 'wasm');
    const below = first - 1;
    if (!draft.follows(first) || !isReserved(draft, below)) continue;
    if (draft.length(below) >= GiB) draft.guess(below, 'wasm');
  }
}

/** V8 takes address space for itself in powers of two, and in no small ones. */
const LEAST_RESERVATION = 32 * MiB;
const MOST_CODE = 2 * GiB;

const powerAtLeast = (length: number): number => 2 ** Math.ceil(Math.log2(length));

/** Memory that can be executed, in the middle of a reservation: where V8 puts compiled code. */
export function guessCode(draft: Draft): void {
  for (let row = 0; row < draft.count; row++) {
    if (isPlain(draft, row) && (draft.access(row) & EXECUTE) !== 0) row = guessCodeAt(draft, row);
  }
}

/** The code of a file that has V8 inside. */
function isBuiltins(draft: Draft, row: number): boolean {
  if ((draft.access(row) & EXECUTE) === 0) return false;
  const name = draft.survey.names[draft.cell(row, NAME)];
  const kind = draft.kind(row);
  return kind === 'executable' || (kind === 'library' && name !== undefined && isV8Library(name));
}

//   | rw- | --- | rwx compiled | --- free | r-x the program's own builtins, again | --- |
//   start                                                        start + a power of two
function guessCodeAt(draft: Draft, first: number): number {
  let head = first;
  if (draft.follows(head) && isReserved(draft, head - 1) && draft.length(head - 1) <= 64 * KiB) {
    head--;
  }
  if (draft.follows(head) && isData(draft, head - 1) && draft.length(head - 1) <= 64 * KiB) head--;
  const start = draft.start(head);
  let last = first;
  let reach = draft.end(first);
  let builtins = false;
  for (let row = first + 1; draft.follows(row) && draft.end(row) - start <= MOST_CODE; row++) {
    const again = isBuiltins(draft, row);
    if (!isPlain(draft, row) && !again) break;
    const runs = (draft.access(row) & EXECUTE) !== 0;
    // What follows upon it may be another reservation altogether.
    const isRest = isReserved(draft, row) && draft.length(row) >= LEAST_RESERVATION;
    if (!runs && !(isRest && reach - start < LEAST_RESERVATION)) continue;
    builtins ||= again;
    last = row;
    reach = draft.end(row);
  }
  const length = powerAtLeast(reach - start);
  if (length < LEAST_RESERVATION) return first;
  for (let row = head; row < draft.count && draft.end(row) <= start + length; row++) {
    if (row > last && !(draft.follows(row) && isPlain(draft, row))) break;
    if (builtins) draft.know(row, 'v8-code');
    else draft.guess(row, 'v8-code');
    last = Math.max(last, row);
  }
  return last;
}

/** The kernel makes one region of a reservation's end and what V8 holds beside it. */
const MOST_SLACK = MiB;

const isNearPower = (length: number): boolean =>
  length - 2 ** Math.floor(Math.log2(length)) <= MOST_SLACK;

//   | r-- | rw- in use | --- the rest of a power of two |
/** Address space that is held for later: tables and cages. */
export function guessCages(draft: Draft): void {
  for (let row = 0; row < draft.count; row++) {
    if (!isReserved(draft, row) || draft.length(row) < LEAST_RESERVATION) continue;
    let first = row;
    for (let at = row - 1; at >= row - 8 && draft.follows(at + 1); at--) {
      if (!isPlain(draft, at)) break;
      if (isNearPower(draft.end(row) - draft.start(at))) first = at;
    }
    for (let at = first; at <= row; at++) draft.guess(at, 'v8-cage');
  }
}

/** V8 maps its pages at random addresses of 46 bits; everything else is put above them. */
const V8_ADDRESSES = 2 ** 46;
const V8_PAGE = 256 * KiB;

export function guessHeap(draft: Draft): void {
  for (let row = 0; row < draft.count && draft.start(row) < V8_ADDRESSES; row++) {
    if (!isPlain(draft, row)) continue;
    const isPage = draft.start(row) % V8_PAGE === 0;
    const goesOn = draft.follows(row) && draft.kind(row - 1) === 'v8-heap';
    if (isPage || goesOn) draft.guess(row, 'v8-heap');
  }
}

export function guessGuards(draft: Draft): void {
  for (let row = 0; row < draft.count; row++) {
    if (isReserved(draft, row) && draft.length(row) <= MOST_GUARD) draft.guess(row, 'guard');
  }
}
