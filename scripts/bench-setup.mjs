// npm run bench:setup: installs what memmap is measured against into bench/peers/, never into the package,
// and compiles the C comparator.

import { mkdirSync } from 'node:fs';
import { inRoot, npmStep, step } from './util.mjs';

const quiet = ['--no-audit', '--no-fund'];
npmStep('bench: npm ci', ['ci', '--prefix', inRoot('bench/peers'), ...quiet]);

mkdirSync(inRoot('bench/build'), { recursive: true });
step('bench: the C comparator', process.env.CC ?? 'cc', [
  ...['-std=gnu17', '-O2', '-Wall', '-Wextra', '-shared', '-fPIC'],
  ...['-o', inRoot('bench/build/comparator.so'), inRoot('bench/c/comparator.c')],
]);
