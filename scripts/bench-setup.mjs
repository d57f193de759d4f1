// npm run bench:setup: installs what memmap is measured against into bench/peers/, never into the package,
// and compiles the C comparator.

import { mkdirSync } from 'node:fs';
import { inRoot, npmStep, step } from './util.mjs';

const quiet = ['--no-audit', '--no-fund'];
npmStep('bench: npm ci', ['ci', '--prefix', inRoot('bench/peers'), ...quiet]);

mkdirSync(inRoot('bench/build'), { recursive: true });
const compile = (title, source, target, options) =>
  step(title, process.env.CC ?? 'cc', [
    ...['-std=gnu17', '-O2', '-Wall', '-Wextra', ...options],
    ...['-o', inRoot('bench/build', target), inRoot('bench/c', source)],
  ]);
compile('bench: the C comparator', 'comparator.c', 'comparator.so', ['-shared', '-fPIC']);
if (process.platform === 'linux') compile('bench: the pair in C', 'pair.c', 'pair', []);
