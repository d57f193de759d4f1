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

/** For each rule, lines that break it: added to the end of a file of the house, or as a file of their own. */
const plants: Record<keyof typeof rules, [path: string, text: string][]> = {
  'only lib/binding.ts loads the addon': [
    ['lib/mapping.ts', "import load from 'node-gyp-build';"],
    ['lib/planted.ts', "const addon = require('../build/Release/memmap.node');"],
    ['lib/planted.ts', 'process.dlopen(module, file);'],
  ],
  'errors, flags, page, registry, validate run without a compiler': [
    ['lib/registry.ts', "import { binding } from './binding';"],
    ['lib/errors.ts', "export { binding } from './binding';"],
    ['lib/page.ts', "const { binding } = require('./binding');"],
    ['lib/validate.ts', "import { constants } from './planted';"],
  ],
  'imports point one way: index, classes, registry and validate, flags and errors': [
    ['lib/registry.ts', "import type { Mapping } from './planted';"],
    ['lib/validate.ts', "import {\n  Mapping,\n} from './planted.js';"],
    ['lib/errors.ts', "import { check } from './validate';"],
    ['lib/planted.ts', "import { mapFile } from './index';"],
    ['lib/flags.ts', "import('./index');"],
  ],
  'imports make no cycle': [
    ['lib/planted.ts', "import { x } from './planted';"],
    ['lib/flags.ts', "import { MapError } from './errors';\nexport * from './page';"],
  ],
  'native/sys/ knows no Node-API': [
    ['native/sys/linux.cc', '#include <napi.h>'],
    ['native/sys/planted.h', '#  include "node_api.h"'],
  ],
  'conditions on the system stay in native/sys/ and the fault guard': [
    ['native/calls.cc', '#ifdef __linux__'],
    ['native/range.h', '#if defined(__APPLE__) && 1'],
    ['native/planted.cc', '#elif defined(__FreeBSD__)'],
  ],
  'no any': [
    ['lib/mapping.ts', 'const x = y as any;'],
    ['lib/planted.ts', 'export function f(x: any): void {}'],
  ],
  'the page size is asked, never assumed': [
    ['lib/page.ts', 'export const pages = (n: number) => n / 4096;'],
    ['lib/planted.ts', 'const page = 4096n;'],
    ['native/range.h', 'inline size_t pages(size_t n) { return n >> 12; }'],
    ['native/planted.cc', 'constexpr size_t kPage = 0x1000;'],
  ],
  'files stay short': [
    ['lib/planted.ts', 'x();\n'.repeat(401)],
    ['native/planted.cc', '\n'.repeat(401)],
  ],
};

/** What a planted file needs around it: something that reaches the addon, and something to close a cycle. */
const scenery: [path: string, text: string][] = [
  ['lib/planted.ts', "import { binding } from './binding';\n"],
  ['lib/errors.ts', "import { bits } from './flags';\n"],
];

function plant(sources: Sources, [path, text]: [string, string]): Sources {
  const copy = new Map(sources);
  for (const [sceneryPath, line] of scenery) {
    copy.set(sceneryPath, (copy.get(sceneryPath) ?? '') + line);
  }
  copy.set(path, `${copy.get(path) ?? ''}\n${text}\n`);
  return copy;
}

describe.each(Object.entries(rules) as [keyof typeof rules, Rule][])('%s', (name, rule) => {
  const sources = readSources();

  it('holds', () => {
    expect(rule(sources)).toEqual([]);
  });

  it.each(plants[name])('is seen broken in %s by %j', (path, text) => {
    expect(rule(plant(sources, [path, text])).map((violation) => violation.path)).toContain(path);
  });

  it('is not broken by the scenery of the plants alone', () => {
    expect(rule(plant(sources, ['native/planted.h', '']))).toEqual([]);
  });
});

it('reads the house: a rule over no file would always hold', () => {
  const paths = [...readSources().keys()];
  expect(paths).toEqual(
    expect.arrayContaining([
      'lib/binding.ts',
      'lib/registry.ts',
      'native/binding.cc',
      'native/sys/sys.h',
    ]),
  );
});
