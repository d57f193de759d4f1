// dist/index.js in one file, for a quick require(): finding, reading and compiling fifty modules takes twice as long as what
// they do. Whole capabilities that many programs never use (LATE) stay files of their own and are loaded when somebody uses
// them. Every module has one life: what went into the bundle is, beside it, a line that asks the bundle for it.
// Needs node_modules, so scripts/build.mjs starts it as a program.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { buildSync } from 'esbuild';
import { inRoot } from './util.mjs';

const LATE = ['looking', 'reservation', 'shared'];
const MODULES = "Symbol.for('memmap.modules')";
const dist = inRoot('dist');

const read = (path) => readFileSync(inRoot('dist', path), 'utf8');

const isLate = (path) => LATE.some((folder) => path.startsWith(`${folder}/`));

/** What tsc made of lib/index.ts: who exports which names, and what is in it beside `export ... from`. */
function parseIndex() {
  const text = read('index.js');
  const modules = new Map();
  for (const [, variable, path] of text.matchAll(
    /^(?:const|var) (\w+) = require\("\.\/(.+)"\);$/gm,
  )) {
    modules.set(variable, path);
  }
  const names = [];
  const getter =
    /^Object\.defineProperty\(exports, "(\w+)", \{ enumerable: true, get: function \(\) \{ return (\w+)\.(\w+); \} \}\);$/gm;
  for (const [, name, variable, property] of text.matchAll(getter)) {
    names.push({ name, path: modules.get(variable), property });
  }
  for (const [, name, path] of text.matchAll(
    /^exports\.(\w+) = __importStar\(require\("\.\/(.+)"\)\);$/gm,
  )) {
    names.push({ name, path });
  }
  const asked = text.match(/require\("/g).length;
  const understood = modules.size + names.filter(({ property }) => property === undefined).length;
  if (asked !== understood) throw new Error('dist/index.js holds more than exports');
  return names;
}

/** One that is loaded late becomes a plain property when somebody asks for it. */
const HELPERS = `
const late = (name, load) => Object.defineProperty(exports, name, {
  enumerable: true,
  configurable: true,
  get() {
    const value = load()[name];
    Object.defineProperty(exports, name, { enumerable: true, value });
    return value;
  },
});`;

function entryOf(names, bundled) {
  const lines = names.map(({ name, path, property }) => {
    const load = `require('./${path}')`;
    if (property === undefined) return `exports.${name} = ${load};`;
    if (isLate(path)) return `late('${name}', () => ${load});`;
    return `exports.${name} = ${load}.${property};`;
  });
  const rows = bundled.map((path) => `  '${path}': () => require('./${path}'),`);
  const table = `Object.defineProperty(exports, ${MODULES}, { value: {\n${rows.join('\n')}\n} });`;
  // In front of everything else: late modules ask for others while the rest is still being loaded.
  const mark = `Object.defineProperty(exports, '__esModule', { value: true });`;
  return ['"use strict";', mark, HELPERS, table, ...lines].join('\n');
}

function bundle(contents) {
  return buildSync({
    absWorkingDir: dist,
    stdin: { contents, resolveDir: dist, sourcefile: 'index.js' },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['node-gyp-build', ...LATE.map((folder) => `./${folder}/*`)],
    // Names stay, for stack traces. What is not there need not be read.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
  });
}

const names = parseIndex();
const { metafile } = bundle(entryOf(names, []));
const bundled = Object.keys(metafile.inputs).filter((path) => path !== 'index.js');
const { outputFiles } = bundle(entryOf(names, bundled));
// For Node's reader of names, which makes them importable from ESM.
const listed = `0 && (module.exports = { ${names.map(({ name }) => name).join(', ')} });`;
writeFileSync(inRoot('dist', 'index.js'), `${outputFiles[0].text}${listed}\n`);
for (const path of bundled) {
  const index = relative(dirname(path), 'index.js');
  const from = index.startsWith('.') ? index : `./${index}`;
  const text = `"use strict";\nmodule.exports = require('${from}')[${MODULES}]['${path}']();\n`;
  writeFileSync(inRoot('dist', path), text);
}
// They told of the modules as tsc wrote them.
for (const path of ['index.js', ...bundled]) rmSync(inRoot('dist', `${path}.map`), { force: true });
