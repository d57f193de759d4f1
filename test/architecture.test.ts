import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { rules, type Rule, type Sources } from './helpers/architecture';

const root = join(__dirname, '..');

function readSources(): Sources {
  const files = ['lib', 'native'].flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && /\.(ts|cc|h)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return new Map(
    files.map((file) => [relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')]),
  );
}

/** Texts by path, added to the end of a file of the house or as a file of their own; the first is the one that breaks a rule. */
type Plant = Readonly<Record<string, string>>;

const plants: Record<keyof typeof rules, Plant[]> = {
  'only lib/binding.ts loads the addon': [
    { 'lib/mapping.ts': "import load from 'node-gyp-build';" },
    { 'lib/planted.ts': "const addon = require('../build/Release/memmap.node');" },
    { 'lib/planted.ts': 'process.dlopen(module, file);' },
  ],
  'errors, flags, page, registry, validate run without a compiler': [
    { 'lib/registry.ts': "import { binding } from './binding.js';" },
    { 'lib/errors.ts': "export { binding } from './binding';" },
    { 'lib/flags.ts': "export * from './binding';" },
    { 'lib/page.ts': "const { binding } = require('./binding');" },
    {
      'lib/validate.ts': "import { far } from './far.js';",
      'lib/far.ts': "import {\n  type Binding,\n  binding,\n} from './binding.js';",
    },
  ],
  'imports point one way: index, classes, registry and validate, flags and errors': [
    { 'lib/registry.ts': "import type { Mapping } from './mapping.js';" },
    { 'lib/validate.ts': "import {\n  Mapping,\n} from './mapping';" },
    {
      'lib/binding.ts': "import './far';",
      'lib/far.ts': "export * from './shared/mutex.js';",
      'lib/shared/mutex.ts': '',
    },
    { 'lib/errors.ts': "import { check } from './validate.js';" },
    { 'lib/flags.ts': "import('./index.js');" },
    { 'lib/planted.ts': "import { mapFile } from './index.js';" },
  ],
  'nothing outside lib/cli/ imports the command line': [
    { 'lib/index.ts': "export { commands } from './cli/commands.js';" },
    { 'lib/mapping.ts': "import type { Command } from './cli/command.js';" },
    { 'lib/planted.ts': "const { print } = await import('./cli/output.js');" },
  ],
  'imports make no cycle': [
    { 'lib/planted.ts': "import { x } from './planted.js';" },
    {
      'lib/planted.ts': "import { x } from './far.js';",
      'lib/far.ts': "export { y } from './planted.js';",
    },
  ],
  'native/sys/ knows no Node-API': [
    { 'native/sys/linux.cc': '#include <napi.h>' },
    { 'native/sys/planted.h': '#  include "node_api.h"' },
  ],
  'conditions on the system stay in native/sys/ and the fault guard': [
    { 'native/addon/exports/map.cc': '#ifdef __linux__' },
    { 'native/base/range.h': '#if defined(__APPLE__) && 1' },
    { 'native/planted.cc': '#elif defined(__FreeBSD__)' },
  ],
  'no any': [
    { 'lib/mapping.ts': 'const x = y as any;' },
    { 'lib/planted.ts': 'export function f(x: any): void {}' },
  ],
  'the page size is asked, never assumed': [
    { 'lib/page.ts': 'export const pages = (n: number) => n / 4096;' },
    { 'lib/planted.ts': 'const page = 4096n;' },
    { 'native/base/range.h': 'inline size_t pages(size_t n) { return n >> 12; }' },
    { 'native/planted.cc': 'constexpr size_t kPage = 0x1000;' },
  ],
  'files stay short': [
    { 'lib/planted.ts': 'x();\n'.repeat(401) },
    { 'native/planted.cc': '\n'.repeat(401) },
  ],
};

function withPlanted(sources: Sources, plant: Plant): Sources {
  const added = Object.entries(plant).map(
    ([path, text]) => [path, `${sources.get(path) ?? ''}\n${text}\n`] as const,
  );
  return new Map([...sources, ...added]);
}

describe.each(Object.entries(rules) as [keyof typeof rules, Rule][])('%s', (name, rule) => {
  const sources = readSources();

  it('holds', () => {
    expect(rule(sources)).toEqual([]);
  });

  it.each(plants[name].map((plant) => [Object.keys(plant)[0], plant] as const))(
    'is seen broken in %s',
    (path, plant) => {
      const before = rule(sources).length;
      const violations = rule(withPlanted(sources, plant));
      expect(violations.length).toBeGreaterThan(before);
      expect(violations.map((violation) => violation.path)).toContain(path);
    },
  );
});

it('reads the house: a rule over no file would always hold', () => {
  const paths = [...readSources().keys()];
  expect(paths).toEqual(
    expect.arrayContaining([
      'lib/binding.ts',
      'lib/registry.ts',
      'native/addon/binding.cc',
      'native/sys/sys.h',
    ]),
  );
});
