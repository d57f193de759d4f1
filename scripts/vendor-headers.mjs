// node scripts/vendor-headers.mjs [--remove]: npm runs it around packing. The tarball carries the headers of node-addon-api,
// so that it can be compiled where it is installed, with node-gyp alone; a clone has them from node_modules.

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { inRoot, tool } from './util.mjs';

const target = inRoot('vendor');
rmSync(target, { recursive: true, force: true });
if (!process.argv.includes('--remove')) {
  mkdirSync(`${target}/node-addon-api`, { recursive: true });
  for (const file of ['napi.h', 'napi-inl.h', 'napi-inl.deprecated.h', 'LICENSE.md']) {
    cpSync(tool('node-addon-api', file), `${target}/node-addon-api/${file}`);
  }
}
