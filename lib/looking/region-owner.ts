// Who each region of a process belongs to. Pure: from plain data to kinds, and what is a guess.
import { Draft, type OwnerKind } from './owner-draft.js';
import { hasV8, kindOfName, shortName } from './owner-names.js';
import * as shapes from './owner-shapes.js';
import { DEVICE, EXECUTE, HOLDER, HOLDERS, NAME, type Survey, isDiskless } from './survey.js';

/** What is known of a process beside its regions. */
export interface ProcessFacts {
  /** The path of what it runs. */
  readonly program: string | undefined;
  /** Pairs of a thread's number and an address in its stack, 0 where that is not known. */
  readonly threads: Float64Array;
}

/** Says what each row is; what nobody can tell is anonymous. */
export function classify(survey: Survey, { program, threads }: ProcessFacts): Draft {
  const draft = new Draft(survey);
  const kinds = kindsOfNames(draft, program);
  for (let row = 0; row < draft.count; row++) {
    const holder = HOLDERS[draft.cell(row, HOLDER)];
    if (holder !== undefined) {
      draft.know(row, holder);
      continue;
    }
    const kind = kinds[draft.cell(row, NAME)];
    // A name that V8 gave says that it is V8's, not what for.
    if (kind === 'v8-heap') draft.guess(row, kind);
    else if (kind !== undefined) draft.know(row, kind);
  }
  shapes.markStacks(draft, threads);
  shapes.markZeroSegments(draft);
  shapes.markArenas(draft);
  if (hasV8(program, survey.names)) {
    shapes.guessWasm(draft);
    shapes.guessCode(draft);
    shapes.guessCages(draft);
    shapes.guessHeap(draft);
  }
  shapes.guessStacks(draft, threads);
  shapes.guessGuards(draft);
  return draft;
}

function kindsOfNames(draft: Draft, program: string | undefined): readonly OwnerKind[] {
  const { names } = draft.survey;
  if (names.length === 0) return [];
  const hasCode = new Uint8Array(names.length);
  const onDisk = new Uint8Array(names.length);
  for (let row = 0; row < draft.count; row++) {
    const name = draft.cell(row, NAME);
    if (name < 0) continue;
    if ((draft.access(row) & EXECUTE) !== 0) hasCode[name] = 1;
    if (!isDiskless(draft.cell(row, DEVICE))) onDisk[name] = 1;
  }
  return names.map((name, index) =>
    kindOfName(name, {
      hasCode: hasCode[index] === 1,
      isProgram: name === program,
      isDiskless: onDisk[index] === 0,
    }),
  );
}

const WORDS: Partial<Record<OwnerKind, string>> = {
  retired: 'retired',
  reservation: 'reservation',
  'v8-heap': 'V8 heap',
  'v8-code': 'V8 code range',
  'v8-cage': 'V8 reservation',
  wasm: 'WebAssembly memory',
  stack: 'stack',
  'libc-heap': 'heap',
  'libc-arena': 'malloc arena',
};

/** What people call it: 'libc.so.6', 'thread stack 1234'. */
export function labelOf(draft: Draft, row: number): string {
  const kind = draft.kind(row);
  const note = draft.note(row);
  if (kind === 'thread-stack') return note < 0 ? 'thread stack' : `thread stack ${String(note)}`;
  if (kind === 'guard') return note < 0 ? 'guard' : `guard of thread stack ${String(note)}`;
  const word = WORDS[kind];
  if (word !== undefined) return word;
  const name = draft.survey.names[draft.cell(note < 0 ? row : note, NAME)];
  if (name !== undefined) return note < 0 ? shortName(name) : `${shortName(name)} (bss)`;
  if (kind === 'mapping') return 'another thread’s mapping';
  const access = draft.access(row);
  if (access === 0) return 'reserved';
  return (access & EXECUTE) === 0 ? 'anonymous' : 'executable memory';
}
