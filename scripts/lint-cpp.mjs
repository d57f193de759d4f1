// node scripts/lint-cpp.mjs [--fix]: clang-format over native/.

import { filesBelow, spawn, tool } from './util.mjs';

const files = filesBelow('native').filter((file) => /\.(cc|h)$/.test(file));
if (files.length === 0) throw new Error('no C++ file found: the check would check nothing');
const mode = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '--Werror'];
process.exitCode = spawn(process.execPath, [tool('clang-format/index.js'), ...mode, ...files]);
