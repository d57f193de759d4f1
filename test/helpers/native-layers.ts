// Which file of native/ may include which, as functions from source texts to violations. They know
// no file system: a test can plant a violation.

import type { Rule, Sources, Violation } from './architecture';

/**
 * The folders of native/, from the top down: a file includes its own folder or a lower one. Those
 * of a line are one layer.
 */
const layers: readonly (readonly string[])[] = [
  ['native/addon', 'native/addon/exports'],
  ['native/sync'],
  ['native/space'],
  ['native/faults'],
  ['native/views'],
  ['native/claims'],
  ['native/faults/handler'],
  ['native/loop'],
  ['native/reaper'],
  ['native/interpose'],
  ['native/sys'],
  ['native/base'],
];

/** Where Node-API may be included. */
const nodeApiFolders: readonly string[] = [
  'native/addon',
  'native/addon/exports',
  'native/views',
  'native/loop',
];

const isNative = (path: string) => /^native\/.*\.(cc|h)$/.test(path);
const folderOf = (path: string) => path.slice(0, path.lastIndexOf('/'));
const layerOf = (path: string) => layers.findIndex((layer) => layer.includes(folderOf(path)));
/** A header and its implementation are one module. */
const moduleOf = (path: string) => path.replace(/\.(cc|h)$/, '');

interface Include {
  readonly name: string;
  readonly line: number;
  /** "..." rather than <...>. */
  readonly own: boolean;
}

function includesOf(text: string): Include[] {
  return text.split('\n').flatMap((line, index) => {
    const match = /^\s*#\s*(?:include|import)\s*([<"])([^>"]+)[>"]/.exec(line);
    return match ? [{ name: match[2] ?? '', line: index + 1, own: match[1] === '"' }] : [];
  });
}

const nativePaths = (sources: Sources) => [...sources.keys()].filter(isNative);

function perInclude(
  sources: Sources,
  isWrong: (path: string, include: Include) => string | undefined,
): Violation[] {
  return nativePaths(sources).flatMap((path) =>
    includesOf(sources.get(path) ?? '').flatMap((include) => {
      const why = isWrong(path, include);
      return why === undefined ? [] : [{ path, message: `line ${include.line}: ${why}` }];
    }),
  );
}

const everyFileIsInAFolderOfTheList: Rule = (sources) =>
  nativePaths(sources)
    .filter((path) => layerOf(path) < 0)
    .map((path) => ({ path, message: `${folderOf(path)}/ is no folder of the list` }));

/** One spelling for each file, so that no other rule can be evaded by "../". */
const includesNameAFileFromNativeOn: Rule = (sources) =>
  perInclude(sources, (_path, { name, own }) =>
    own && !sources.has(`native/${name}`) ? `"${name}" is no file of native/` : undefined,
  );

const includesPointDown: Rule = (sources) =>
  perInclude(sources, (path, { name, own }) => {
    const below = layerOf(`native/${name}`);
    return own && below >= 0 && below < layerOf(path) ? `includes "${name}", above it` : undefined;
  });

/** The signal handler: what it includes must be async-signal-safe, or have nothing to call. */
const handlerIncludesWhatASignalMayUse: Rule = (sources) =>
  perInclude(sources, (path, { name, own }) => {
    if (!own || folderOf(path) !== 'native/faults/handler') return undefined;
    const allowed = name === 'sys/signal_safe.h' || /^(base|faults\/handler)\/[^/]+\.h$/.test(name);
    return allowed ? undefined : `includes "${name}"`;
  });

const nodeApiStaysAtTheDoor: Rule = (sources) =>
  perInclude(sources, (path, { name }) =>
    /^(napi|napi-inl|node_api|js_native_api|node_api_types|js_native_api_types|node|v8|uv)\.h$/.test(
      name.slice(name.lastIndexOf('/') + 1),
    ) && !nodeApiFolders.includes(folderOf(path))
      ? `includes ${name}`
      : undefined,
  );

/** Modules by the modules that they include. */
function graphOf(sources: Sources): Map<string, Map<string, string>> {
  const graph = new Map<string, Map<string, string>>();
  for (const path of nativePaths(sources)) {
    const to = graph.get(moduleOf(path)) ?? new Map<string, string>();
    graph.set(moduleOf(path), to);
    for (const { name, own } of includesOf(sources.get(path) ?? '')) {
      const target = moduleOf(`native/${name}`);
      if (own && sources.has(`native/${name}`) && target !== moduleOf(path)) to.set(target, path);
    }
  }
  return graph;
}

const includesMakeNoCycle: Rule = (sources) => {
  const graph = graphOf(sources);
  return [...graph.keys()].flatMap((start) => {
    const seen = new Set<string>();
    const queue = [[start]];
    for (let way = queue.shift(); way; way = queue.shift()) {
      for (const [next, path] of graph.get(way.at(-1) ?? start) ?? []) {
        if (next === start) {
          const first = graph.get(start)?.get(way[1] ?? start) ?? path;
          return [{ path: first, message: [...way, next].join(' → ') }];
        }
        if (!seen.has(next)) queue.push([...way, next]);
        seen.add(next);
      }
    }
    return [];
  });
};

export const nativeRules = {
  'every file of native/ lies in a folder of the list': everyFileIsInAFolderOfTheList,
  'an include names a file from native/ on': includesNameAFileFromNativeOn,
  'includes point down the list of folders': includesPointDown,
  'native/faults/handler/ includes only what a signal handler may use':
    handlerIncludesWhatASignalMayUse,
  'only native/addon/, views/ and loop/ include Node-API': nodeApiStaysAtTheDoor,
  'includes make no cycle of modules': includesMakeNoCycle,
} satisfies Record<string, Rule>;
