import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import type { Rule, Sources } from './helpers/architecture';
import { nativeRules } from './helpers/native-layers';

const root = join(__dirname, '..');

function readSources(): Sources {
  const files = readdirSync(join(root, 'native'), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(cc|h)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    files.map((file) => [relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')]),
  );
}

/** Texts by path, added to the end of a file or as a file of their own; the first breaks the rule. */
type Plant = Readonly<Record<string, string>>;

const plants: Record<keyof typeof nativeRules, Plant[]> = {
  'every file of native/ lies in a folder of the list': [
    { 'native/planted.cc': '' },
    { 'native/claims/deeper/planted.h': '' },
    { 'native/other/planted.cc': '#include "base/range.h"' },
  ],
  'an include names a file from native/ on': [
    { 'native/claims/claims.cc': '#include "../base/range.h"' },
    { 'native/claims/claims.h': '#include "guarded_range.h"' },
    { 'native/sys/planted.cc': '  # include "sys/gone.h"' },
  ],
  'includes point down the list of folders': [
    { 'native/claims/claims.cc': '#include "views/array_buffer.h"' },
    { 'native/base/range.h': '#include "space/space.h"' },
    { 'native/sys/linux.cc': '#include "claims/claims.h"' },
    { 'native/views/quarantine.cc': '#include "faults/guard_policy.h"' },
    { 'native/space/map.cc': '#include "addon/args.h"' },
  ],
  'native/faults/handler/ includes only what a signal handler may use': [
    { 'native/faults/handler/fixup.cc': '#include "claims/claims.h"' },
    { 'native/faults/handler/planted.h': '#include "faults/notifier.h"' },
    { 'native/faults/handler/signal_handler.cc': '#  include "sys/sys.h"' },
  ],
  'only native/addon/, views/ and loop/ include Node-API': [
    { 'native/claims/claims.cc': '#include <napi.h>' },
    { 'native/faults/repair.h': '#include <node_api.h>' },
    { 'native/sys/planted.h': '# include "js_native_api.h"' },
    { 'native/space/view.cc': '#include <uv.h>' },
  ],
  'includes make no cycle of modules': [
    { 'native/sync/completion_queue.h': '#include "sync/waiters.h"' },
    {
      'native/claims/view.h': '#include "claims/planted.h"',
      'native/claims/planted.h': '#include "claims/view.h"',
    },
    { 'native/interpose/ranges.cc': '#include "interpose/placement.h"' },
  ],
};

function withPlanted(sources: Sources, plant: Plant): Sources {
  const added = Object.entries(plant).map(
    ([path, text]) => [path, `${sources.get(path) ?? ''}\n${text}\n`] as const,
  );
  return new Map([...sources, ...added]);
}

describe.each(Object.entries(nativeRules) as [keyof typeof nativeRules, Rule][])(
  '%s',
  (name, rule) => {
    const sources = readSources();

    it('holds', () => {
      expect(rule(sources)).toEqual([]);
    });

    it.each(plants[name].map((plant) => [Object.keys(plant)[0], plant] as const))(
      'fails on a violation in %s',
      (path, plant) => {
        const violations = rule(withPlanted(sources, plant));
        expect(violations.map((violation) => violation.path)).toContain(path);
      },
    );
  },
);

it('reads native/: a rule over no file would always hold', () => {
  expect([...readSources().keys()]).toEqual(
    expect.arrayContaining(['native/addon/binding.cc', 'native/sys/sys.h']),
  );
});
