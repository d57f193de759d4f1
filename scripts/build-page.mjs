// The page of `memmap view` and what the command line bundles: esbuild puts each into one file, with the licences of the
// libraries inside. Needs node_modules, so scripts/build.mjs starts it as a program: node scripts/build-page.mjs page | cli

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { buildSync } from 'esbuild';
import { inRoot } from './util.mjs';

const source = (name) => readFileSync(inRoot('page', name), 'utf8');

/** esbuild, on one entry: the text it makes, and the files of node_modules that went into it. */
function bundle(entry, options) {
  const { outputFiles, metafile } = buildSync({
    absWorkingDir: inRoot(),
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
    ...options,
  });
  return { text: outputFiles[0].text, inputs: Object.keys(metafile.inputs) };
}

const packageOf = (file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
const licenceNames = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'license.md', 'LICENCE'];

function licenceOf(folder) {
  const { name, version, license } = JSON.parse(
    readFileSync(inRoot(folder, 'package.json'), 'utf8'),
  );
  for (const file of licenceNames) {
    try {
      return `${name} ${version} (${license})\n\n${readFileSync(inRoot(folder, file), 'utf8').trim()}\n`;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`${folder} has no file with its licence`);
}

/** The licences of every package that a bundle contains. */
function licencesOf(inputs) {
  const folders = new Set(inputs.map(packageOf).filter((folder) => folder !== undefined));
  return [...folders].sort().map(licenceOf).join('\n----\n\n');
}

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Text that is code, not a pattern: `$&` in it means itself. */
const put = (page, place, text) => {
  if (!page.includes(place)) throw new Error(`page/index.html has no ${place}`);
  return page.replace(place, () => text);
};

/** dist/page/template.html and the licences beside it. */
function buildPage() {
  const browsers = ['chrome110', 'firefox115', 'safari16'];
  const script = bundle('page/main.ts', { minify: true, format: 'iife', target: browsers });
  const style = bundle('page/style.css', { minify: true, target: browsers });
  if (/<\/(script|style)|<!--/i.test(script.text + style.text)) {
    throw new Error('the bundle would end its own element');
  }
  const licences = licencesOf(script.inputs);
  let page = put(source('index.html'), '/*STYLE*/', style.text);
  page = put(page, '/*SCRIPT*/', script.text);
  const contents = (element) => new RegExp(`<${element}>(.*?)</${element}>`, 's').exec(page)[1];
  const policy = [
    "default-src 'none'",
    `script-src ${hash(contents('script'))}`,
    `style-src ${hash(contents('style'))}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  page = put(page, '%POLICY%', policy);
  page = put(page, '%LICENCES%', licences.replaceAll('--', '- -'));
  mkdirSync(inRoot('dist', 'page'), { recursive: true });
  writeFileSync(inRoot('dist', 'page', 'template.html'), page);
  writeFileSync(inRoot('dist', 'page', 'LICENSES.txt'), licences);
}

/** Puts the libraries of the command line into the module that uses them: the package depends on none of them. */
function bundleCommandLine() {
  const file = 'dist/cli/table.js';
  const table = bundle(file, { platform: 'node', format: 'cjs', target: 'node20' });
  writeFileSync(inRoot(file), table.text);
  // It told of the module as tsc wrote it.
  rmSync(inRoot(`${file}.map`), { force: true });
  writeFileSync(inRoot('dist', 'cli', 'LICENSES.txt'), licencesOf(table.inputs));
}

const targets = { page: buildPage, cli: bundleCommandLine };
const target = targets[process.argv[2] ?? ''];
if (!target) throw new Error(`one of ${Object.keys(targets).join(', ')} is wanted`);
target();
