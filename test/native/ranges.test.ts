// The free ranges and the protected ranges of the LD_PRELOAD helper, by themselves.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { Scratch } from '../helpers/files';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const root = join(__dirname, '..', '..');
const program = scratch.path('ranges');

function build(): string | undefined {
  const sources = ['test/helpers/ranges.cc', 'native/interpose/ranges.cc'];
  const flags = [
    '-std=c++20',
    '-O1',
    '-g',
    '-Wall',
    '-fsanitize=address,undefined',
    '-iquote',
    'native',
  ];
  try {
    execFileSync('c++', [...flags, '-o', program, ...sources], { cwd: root, stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `no C++ compiler with sanitizers: ${(error as Error).message.split('\n')[0] ?? ''}`;
  }
}

itUnless(build())('hold, find and forget as an array of bytes does', () => {
  for (const seed of ['1', '4711', '99']) {
    expect(execFileSync(program, ['20000', seed], { encoding: 'utf8' })).toBe('done\n');
  }
});
