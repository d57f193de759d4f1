// Brings a clone to the state in which the package can be run, and does nothing where it is there already.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { builds } from './build.mjs';
import { nativeHash } from './native-hash.mjs';
import { filesBelow, inRoot, isMain, npmStep } from './util.mjs';

const readJson = (path) => JSON.parse(readFileSync(inRoot(path), 'utf8'));

/** npm notes in node_modules what it installed. Compared by content: times change with every checkout. */
function modulesAreInstalled() {
  if (!existsSync(inRoot('node_modules/.package-lock.json'))) return false;
  const installed = readJson('node_modules/.package-lock.json').packages;
  return Object.entries(readJson('package-lock.json').packages).every(
    ([path, { version, optional }]) =>
      path === '' || optional || installed[path]?.version === version,
  );
}

function isFresh(stamp, output, sources) {
  const stampFile = inRoot('.build', `${stamp}.stamp`);
  if (!existsSync(stampFile) || !existsSync(inRoot(output))) return false;
  const { mtimeMs } = statSync(stampFile);
  return sources.flatMap(filesBelow).every((file) => statSync(file).mtimeMs < mtimeMs);
}

/** Without a compiler the addon of prebuilds/ will do, if it was made from these very sources. */
function canUsePrebuilt() {
  const { status } = spawnSync('c++', ['--version'], { stdio: 'ignore' });
  if (status === 0) return false;
  const manifest = 'prebuilds/manifest.json';
  return existsSync(inRoot(manifest)) && readJson(manifest).native === nativeHash();
}

export function ensureSetup() {
  if (!modulesAreInstalled()) npmStep('npm ci', ['ci', '--include=dev', '--no-audit', '--no-fund']);
  const compiled = isFresh('native', 'build/Release/memmap.node', ['binding.gyp', 'native']);
  if (!compiled && !canUsePrebuilt()) builds.native();
  if (!isFresh('ts', 'dist/index.js', ['tsconfig.json', 'tsconfig.base.json', 'lib'])) builds.ts();
  const page = ['page', 'lib/cli/pack.ts', 'scripts/build-page.mjs', 'package-lock.json'];
  if (!isFresh('page', 'dist/page/template.html', page)) builds.page();
}

if (isMain(import.meta)) ensureSetup();
