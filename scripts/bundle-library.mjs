// dist/index.js in one file, for a quick require(): finding, reading and compiling fifty modules takes twice as long as what
// they do. Whole capabilities that many programs never use (LATE) are a file each in dist/chunks/, loaded when somebody uses
// them.
//
//   index.js:            the modules of the core, and core.load('shared/channel.js')
//   chunks/shared.js:    (core) => { the modules of shared/, which ask that very core for everything else }
//   every other module:  a line that asks index.js for it
//
// So a module has one life for each life of index.js, also where a test runner empties the cache of modules in between.
// Needs node_modules, so scripts/build.mjs starts it as a program.

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { build } from 'esbuild';
import { inRoot } from './util.mjs';

const LATE = ['contents', 'looking', 'reservation', 'shared'];
/** What the core itself needs of them. */
const EARLY = ['reservation/reserve.js'];
const dist = inRoot('dist');

const groupOf = (path) =>
  EARLY.includes(path) ? undefined : LATE.find((folder) => path.startsWith(`${folder}/`));

/** What tsc made of lib/index.ts: who exports which names. It must hold nothing else. */
function parseIndex() {
  const text = readFileSync(inRoot('dist', 'index.js'), 'utf8');
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

/** `homes`: of modules that only one chunk needs, that chunk. */
const coreOf = (homes) => `"use strict";
const core = {
  modules: {}, chunks: {}, homes: ${JSON.stringify(homes)},
  load(path) {
    const own = core.modules[path];
    if (own !== undefined) return own();
    const group = core.homes[path] ?? path.slice(0, path.indexOf('/'));
    core.chunks[group] ??= require('./chunks/' + group + '.js')(core);
    return core.chunks[group][path]();
  },
};
Object.defineProperty(exports, '__esModule', { value: true });
Object.defineProperty(exports, Symbol.for('memmap.core'), { value: core });`;

/** One that is loaded late becomes a plain property when somebody asks for it. */
const LATER = `const late = (name, load) => Object.defineProperty(exports, name, {
  enumerable: true,
  configurable: true,
  get() {
    const value = load()[name];
    Object.defineProperty(exports, name, { enumerable: true, value });
    return value;
  },
});`;

const table = (paths) =>
  `{\n${paths.map((path) => `'${path}': () => require('./${path}'),`).join('\n')}\n}`;

function entryOf(names, bundled) {
  const lines = names.map(({ name, path, property }) => {
    const load = `require('./${path}')`;
    if (property === undefined) return `exports.${name} = ${load};`;
    if (groupOf(path) !== undefined) return `late('${name}', () => ${load});`;
    return `exports.${name} = ${load}.${property};`;
  });
  // In front of everything else: late modules ask for others while the rest is still being loaded.
  return [LATER, `core.modules = ${table(bundled)};`, ...lines].join('\n');
}

/** Everything that `belongs` is bundled; the rest is asked of the core. */
const askTheCore = (belongs) => ({
  name: 'core',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.{1,2}\// }, ({ resolveDir, path: asked }) => {
      const path = relative(dist, resolve(resolveDir, asked));
      return belongs(path) ? undefined : { path, namespace: 'core' };
    });
    onLoad({ filter: /./, namespace: 'core' }, ({ path }) => ({
      contents: `module.exports = core.load('${path}');`,
    }));
  },
});

const bundle = (contents, belongs, { banner, footer = '' }) =>
  build({
    absWorkingDir: dist,
    stdin: { contents, resolveDir: dist, sourcefile: 'entry.js' },
    plugins: [askTheCore(belongs)],
    banner: { js: banner },
    footer: { js: footer },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['node-gyp-build'],
    // Names stay, for stack traces. What is not there need not be read.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
  });

const write = (path, text) => {
  writeFileSync(inRoot('dist', path), text);
};

/** For Node's reader of names, which makes them importable from ESM. */
const namesFor = (names) => `0 && (module.exports = { ${names.join(', ')} });`;

/** A module that went into a bundle, for the command line and for whoever asks for it by its path. */
function replaceByLine(path) {
  const index = relative(dirname(path), 'index.js');
  const from = index.startsWith('.') ? index : `./${index}`;
  const text = readFileSync(inRoot('dist', path), 'utf8');
  const names = new Set(Array.from(text.matchAll(/^exports\.(\w+) = /gm), ([, name]) => name));
  const lines = [
    '"use strict";',
    `module.exports = require('${from}')[Symbol.for('memmap.core')].load('${path}');`,
    namesFor([...names]),
  ];
  write(path, `${lines.join('\n')}\n`);
  // It told of the module as tsc wrote it.
  rmSync(inRoot('dist', `${path}.map`), { force: true });
}

const inCore = (path) => groupOf(path) === undefined;
const names = parseIndex();
const pathsOf = ({ metafile }) =>
  Object.keys(metafile.inputs).filter((path) => /^[\w/-]+\.js$/.test(path) && path !== 'entry.js');

const core = pathsOf(await bundle(entryOf(names, []), inCore, { banner: coreOf({}) }));

const CHUNK = {
  banner: '"use strict";\nmodule.exports = (core) => { const module = { exports: {} };',
  footer: 'return module.exports; };',
};
const homes = {};
const chunks = new Map();
for (const group of LATE) {
  const own = readdirSync(inRoot('dist', group))
    .filter((file) => file.endsWith('.js'))
    .map((file) => `${group}/${file}`)
    .filter((path) => groupOf(path) === group);
  const belongs = (path) => groupOf(path) === group || (inCore(path) && !core.includes(path));
  const first = await bundle(`module.exports = ${table(own)};`, belongs, CHUNK);
  const paths = pathsOf(first);
  for (const path of paths.filter(inCore)) {
    if (path in homes)
      throw new Error(`${path} would have two lives, in ${homes[path]} and ${group}`);
    homes[path] = group;
  }
  const { outputFiles } = await bundle(`module.exports = ${table(paths)};`, belongs, CHUNK);
  chunks.set(group, { text: outputFiles[0].text, paths });
}

const { outputFiles } = await bundle(entryOf(names, core), inCore, {
  banner: coreOf(homes),
  footer: namesFor(names.map(({ name }) => name)),
});
write('index.js', outputFiles[0].text);
rmSync(inRoot('dist', 'index.js.map'), { force: true });
mkdirSync(inRoot('dist', 'chunks'), { recursive: true });
for (const [group, { text }] of chunks) write(`chunks/${group}.js`, text);
for (const path of [core, ...[...chunks.values()].map(({ paths }) => paths)].flat()) {
  replaceByLine(path);
}
