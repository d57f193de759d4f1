// The compile steps, each unconditional: node scripts/build.mjs native | ts | page | tools
// What decides whether one is needed is setup.mjs.

import { existsSync, mkdirSync, realpathSync, rmSync, writeFileSync, utimesSync } from 'node:fs';
import { dirname } from 'node:path';
import { inRoot, isMain, step, tool } from './util.mjs';

/** Remembers when the compile began: a source edited while it ran is newer than that, and so compiled again. */
function stamped(name, compile) {
  const began = new Date();
  compile();
  const stamp = inRoot('.build', `${name}.stamp`);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, '');
  utimesSync(stamp, began, began);
}

/** The headers that were installed with this Node: they need no download. */
function headers() {
  if (process.env.npm_config_nodedir) return [];
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  return existsSync(`${prefix}/include/node/node_api.h`) ? [`--nodedir=${prefix}`] : [];
}

const tsc = (title, project) =>
  step(title, process.execPath, [tool('typescript/bin/tsc'), '-p', project]);

export const builds = {
  native() {
    stamped('native', () => {
      // configure and build, not rebuild: make knows which files changed.
      const script = tool('node-gyp/bin/node-gyp.js');
      const args = ['configure', 'build', '--release', '--jobs=max', '--loglevel=warn'];
      step('compiling native/', process.execPath, [script, ...args, ...headers()]);
    });
  },

  ts() {
    stamped('ts', () => {
      // A module that was renamed must not live on in the package.
      rmSync(inRoot('dist'), { recursive: true, force: true });
      tsc('compiling lib/', 'tsconfig.json');
      step('bundling lib/', process.execPath, ['scripts/bundle-library.mjs']);
      step('bundling lib/cli/', process.execPath, ['scripts/build-page.mjs', 'cli']);
    });
  },

  /** After ts, which empties dist/. */
  page() {
    stamped('page', () => {
      step('bundling page/', process.execPath, ['scripts/build-page.mjs', 'page']);
    });
  },

  /** TypeScript that is run but not published: test/conformance and the like. It imports 'memmap', that is dist/. */
  tools() {
    tsc('compiling tools', 'tsconfig.tools.json');
  },
};

if (isMain(import.meta)) {
  const build = builds[process.argv[2] ?? ''];
  if (!build) throw new Error(`one of ${Object.keys(builds).join(', ')} is wanted`);
  build();
}
