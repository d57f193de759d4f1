// Where the LD_PRELOAD helper is, and how its path is handed over.

import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { misuse } from '../errors.js';
import { CommandError } from './command.js';

const NAME = 'memmap-interpose.so';
const root = join(__dirname, '..', '..');

/** Throws ERR_MEMMAP_UNSUPPORTED where there is no helper for the platform. */
export function requirePlatform(platform: string, arch: string): void {
  const hint = 'memmap regions and memmap view work on macOS, too';
  if (platform !== 'linux') {
    throw misuse('UNSUPPORTED', `memmap run is not supported on ${platform} yet: Linux only`, {
      hint,
    });
  }
  if (arch !== 'x64' && arch !== 'arm64') {
    throw misuse('UNSUPPORTED', `memmap run is not supported on ${arch}: x64 and arm64 only`);
  }
}

/** The helper's file: what was built here goes before what was shipped. */
export function findHelper(): string {
  // Not those of the addon's loader, which this must not need.
  const places = [
    join(root, 'build', 'Release', NAME),
    join(root, 'native', 'build', 'Release', NAME),
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, NAME),
  ];
  if (process.env['PREBUILDS_ONLY']) places.splice(0, 2);
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new CommandError(
    [
      'the helper of memmap run is missing. Looked for',
      ...places.map((place) => `  ${place}`),
      'Build it: npx node-gyp rebuild -C node_modules/memmap/native',
    ].join('\n'),
  );
}

// The loader splits LD_PRELOAD at these, and expands names after a dollar sign.
const DIVIDES = /[\s:$]/;

/** LD_PRELOAD with the helper behind what is there; copied to `folder` where its path cannot be said. */
export function preload(helper: string, folder: string, given: string | undefined): string {
  let path = helper;
  if (DIVIDES.test(path)) {
    path = join(folder, NAME);
    if (DIVIDES.test(path)) {
      throw new CommandError(
        `the loader cannot be told of ${path}: a blank, ':' or '$' is in it (set TMPDIR)`,
      );
    }
    copyFileSync(helper, path);
  }
  const others = (given ?? '').split(/[\s:]+/).filter((word) => word !== '' && word !== path);
  return [...others, path].join(':');
}
