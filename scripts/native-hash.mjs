// What the native sources are: one hash over every file that a compiled addon is made from. Text
// files only, by path and content, so that it is the same on every machine.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { filesBelow, inRoot } from './util.mjs';

export function nativeHash() {
  const hash = createHash('sha256');
  const files = ['binding.gyp', 'native']
    .flatMap(filesBelow)
    .map((file) => relative(inRoot(), file).split(sep).join('/'))
    .filter((file) => /\.(?:gyp|cc|h)$/.test(file) && file !== 'native/binding.gyp')
    .sort();
  for (const file of files) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(inRoot(file)))
      .update('\0');
  }
  return hash.digest('hex');
}
