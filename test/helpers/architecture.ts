// The rules of the house as functions from source texts to violations. They know no file system: a test can plant a violation.

import { posix } from 'node:path';

/** Source texts by path, from the root of the package, with slashes. */
export type Sources = ReadonlyMap<string, string>;
export interface Violation {
  path: string;
  message: string;
}
export type Rule = (sources: Sources) => Violation[];

const isTypeScript = (path: string) => path.startsWith('lib/') && path.endsWith('.ts');
const isNative = (path: string) => /^native\/.*\.(cc|h)$/.test(path);

/** The modules that must work where the addon was never compiled. */
const withoutAddon = /^lib\/(errors|flags|page|registry|validate)\.ts$/;
const maxLines = 400;

/** Comments become blanks of the same shape. A string that holds a comment's opening is taken for one: nobody writes that. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"])\/\/.*$/gm, (comment) =>
    comment.replace(/[^\n]/g, ' '),
  );
}

interface Import {
  specifier: string;
  /** Our own file, if it is one. */
  path: string | undefined;
  /** `import type` is gone when the program runs; the arrow that it draws is not. */
  typeOnly: boolean;
}

function importsOf(path: string, sources: Sources): Import[] {
  const text = withoutComments(sources.get(path) ?? '');
  const statement =
    /\b(?:import|export)\s+(type\s)?(?:[^'";]*?\bfrom\s*)?['"]([^'"]+)['"]|\b(?:require|import)\(\s*['"]([^'"]+)['"]/g;
  return [...text.matchAll(statement)].map(([, type, from, called]) => {
    const specifier = from ?? called ?? '';
    const base = posix.join(posix.dirname(path), specifier).replace(/\.js$/, '');
    const ours = specifier.startsWith('.')
      ? [`${base}.ts`, `${base}/index.ts`].find((candidate) => sources.has(candidate))
      : undefined;
    return { specifier, path: ours, typeOnly: type !== undefined };
  });
}

const typeScriptPaths = (sources: Sources) => [...sources.keys()].filter(isTypeScript);

function linesMatching(
  sources: Sources,
  applies: (path: string) => boolean,
  pattern: RegExp,
): Violation[] {
  return [...sources]
    .filter(([path]) => applies(path))
    .flatMap(([path, text]) =>
      withoutComments(text)
        .split('\n')
        .flatMap((line, index) =>
          pattern.test(line) ? [{ path, message: `line ${index + 1}: ${line.trim()}` }] : [],
        ),
    );
}

/** The shortest way from `start` along imports to a file that `wanted` names, as paths. */
function findWay(
  start: string,
  sources: Sources,
  wanted: (path: string) => boolean,
  { types }: { types: 'ignored' | 'followed' },
): string[] | undefined {
  const seen = new Set([start]);
  const queue = [[start]];
  for (let way = queue.shift(); way; way = queue.shift()) {
    for (const { path, typeOnly } of importsOf(way.at(-1) ?? start, sources)) {
      if (path === undefined || (typeOnly && types === 'ignored')) continue;
      if (wanted(path)) return [...way, path];
      if (!seen.has(path)) queue.push([...way, path]);
      seen.add(path);
    }
  }
  return undefined;
}

const onlyBindingLoadsTheAddon: Rule = (sources) =>
  typeScriptPaths(sources)
    .filter((path) => path !== 'lib/binding.ts')
    .flatMap((path) => {
      const doors = importsOf(path, sources).filter(({ specifier }) =>
        /^node-gyp-build$|\.node$/.test(specifier),
      );
      return doors.map(({ specifier }) => ({ path, message: `loads ${specifier}` }));
    })
    .concat(
      linesMatching(
        sources,
        (path) => isTypeScript(path) && path !== 'lib/binding.ts',
        /\bdlopen\(/,
      ),
    );

const pureModulesNeedNoAddon: Rule = (sources) =>
  typeScriptPaths(sources)
    .filter((path) => withoutAddon.test(path))
    .flatMap((path) => {
      const isBinding = (reached: string) => reached === 'lib/binding.ts';
      const way = findWay(path, sources, isBinding, { types: 'ignored' });
      return way ? [{ path, message: way.join(' → ') }] : [];
    });

const ground = /^lib\/(errors|flags|page)\.ts$/;
const middle = /^lib\/(registry|validate|binding)\.ts$/;
const top =
  /^lib\/((mapping|reservation|address-space|arena|sys|index)\.ts$|(shared|emulated|platform|cli)\/)/;

/** Types are followed: an arrow that is gone at run time is still an arrow in the head of the reader. */
const arrowsPointOneWay: Rule = (sources) =>
  typeScriptPaths(sources).flatMap((path) => {
    const isAbove = (reached: string) => {
      if (ground.test(path)) return !ground.test(reached);
      if (middle.test(path)) return top.test(reached);
      return reached === 'lib/index.ts' && !path.startsWith('lib/cli/');
    };
    const way = findWay(path, sources, isAbove, { types: 'followed' });
    return way ? [{ path, message: way.join(' → ') }] : [];
  });

/** The command line is a program that uses the library: the library never needs it. */
const nothingImportsTheCommandLine: Rule = (sources) =>
  typeScriptPaths(sources)
    .filter((path) => !path.startsWith('lib/cli/'))
    .flatMap((path) =>
      importsOf(path, sources).flatMap(({ path: reached }) =>
        reached?.startsWith('lib/cli/') ? [{ path, message: `${path} → ${reached}` }] : [],
      ),
    );

const noCycles: Rule = (sources) =>
  typeScriptPaths(sources).flatMap((path) => {
    const way = findWay(path, sources, (reached) => reached === path, { types: 'ignored' });
    return way ? [{ path, message: way.join(' → ') }] : [];
  });

const sysKnowsNoNodeApi: Rule = (sources) =>
  linesMatching(
    sources,
    (path) => isNative(path) && path.startsWith('native/sys/'),
    /#\s*include\s*[<"](napi|node_api|js_native_api|node|v8|uv)[^>"]*\.h[>"]/,
  );

const osConditionsStayInSys: Rule = (sources) =>
  linesMatching(
    sources,
    (path) => isNative(path) && !/^native\/(sys\/|faults\/handler\/signal_handler\.)/.test(path),
    /#\s*(if|ifdef|ifndef|elif)\b.*(__linux|__gnu_linux__|__APPLE__|__MACH__|__GLIBC__|__ANDROID__|BSD__|__sun|_AIX|_WIN32|_MSC_VER|__unix|TARGET_OS_)/,
  );

const noAny: Rule = (sources) => linesMatching(sources, isTypeScript, /\bas any\b|<any>|:\s*any\b/);

const pageSizeIsAsked: Rule = (sources) =>
  linesMatching(
    sources,
    (path) => isTypeScript(path) || isNative(path),
    /\b(4096|4095|0x1000|0xfff)(n|u|ul|ull|z)?\b|(<<|>>>?)\s*12n?\b|\b4\s*\*\s*1024n?\b/i,
  );

const filesStayShort: Rule = (sources) =>
  [...sources].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1;
    return lines > maxLines ? [{ path, message: `${lines} lines, ${maxLines} at most` }] : [];
  });

export const rules = {
  'only lib/binding.ts loads the addon': onlyBindingLoadsTheAddon,
  'errors, flags, page, registry, validate run without a compiler': pureModulesNeedNoAddon,
  'imports point one way: index, classes, registry and validate, flags and errors':
    arrowsPointOneWay,
  'nothing outside lib/cli/ imports the command line': nothingImportsTheCommandLine,
  'imports make no cycle': noCycles,
  'native/sys/ knows no Node-API': sysKnowsNoNodeApi,
  'conditions on the system stay in native/sys/ and the fault guard': osConditionsStayInSys,
  'no any': noAny,
  'the page size is asked, never assumed': pageSizeIsAsked,
  'files stay short': filesStayShort,
} satisfies Record<string, Rule>;
