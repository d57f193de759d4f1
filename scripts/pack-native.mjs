// node scripts/pack-native.mjs [--remove]: npm runs it around packing. The tarball can be compiled where
// it is installed, with node-gyp alone: it carries binding.gyp beside the sources, since package managers
// compile whatever has one at its root, and the headers of node-addon-api.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { inRoot, tool } from './util.mjs';

const vendor = inRoot('vendor');
const gyp = inRoot('native', 'binding.gyp');
rmSync(vendor, { recursive: true, force: true });
rmSync(gyp, { force: true });
if (!process.argv.includes('--remove')) {
  mkdirSync(`${vendor}/node-addon-api`, { recursive: true });
  for (const file of ['napi.h', 'napi-inl.h', 'napi-inl.deprecated.h', 'LICENSE.md']) {
    cpSync(tool('node-addon-api', file), `${vendor}/node-addon-api/${file}`);
  }
  const text = readFileSync(inRoot('binding.gyp'), 'utf8');
  writeFileSync(
    gyp,
    text
      .replaceAll('"native/', '"')
      .replaceAll('"<(module_root_dir)/native"', '"<(module_root_dir)"')
      .replaceAll("'vendor/node-addon-api", "'../vendor/node-addon-api"),
  );
}
