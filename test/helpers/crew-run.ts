// Runs a crew (crew.js) in a child, so that what it does to memory is not done to the tests.
import { join } from 'node:path';
import { type ChildResult, runChild } from './child.js';

const entry = join(__dirname, '..', '..', 'dist', 'index.js');
const program = join(__dirname, 'crew.js');

export interface Crew {
  readonly crew: readonly {
    readonly role: string;
    readonly argument?: object;
    readonly mortal?: boolean;
  }[];
  readonly kills: number;
  readonly work: number;
  readonly threads?: boolean;
}

/** The program's last line is how much was done. */
export function runCrew(plan: Crew): Promise<ChildResult> {
  const given = JSON.stringify({ entry, ...plan });
  const source = `console.log('done', await require(${JSON.stringify(program)}).run(${given}));`;
  return runChild(source, { timeout: 110_000 });
}
