// node scripts/run.mjs [node options] FILE [arguments]: sets up what is missing, then runs a program of this repository.
// TypeScript is compiled to .build/ first.

import { builds } from './build.mjs';
import { ensureSetup } from './setup.mjs';
import { inRoot, spawn } from './util.mjs';

const given = process.argv.slice(2);
const at = given.findIndex((argument) => !argument.startsWith('-'));
if (at < 0) throw new Error('a file to run is wanted');
const file = given[at];

ensureSetup();
if (file.endsWith('.ts')) builds.tools();
const program = file.endsWith('.ts')
  ? inRoot('.build', file.replace(/\.ts$/, '.js'))
  : inRoot(file);
process.exitCode = spawn(process.execPath, [
  ...given.slice(0, at),
  program,
  ...given.slice(at + 1),
]);
