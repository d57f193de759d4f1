// Why the addon did not load, and the one thing to do. Must not import anything that needs the addon.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What was tried: the files, and what the loader said of the one that is there. */
export interface LoadAttempt {
  readonly root: string;
  readonly looked: readonly string[];
  readonly cause: unknown;
}

interface Diagnosis {
  readonly reason: string;
  readonly remedy: string;
}

const COMPILE =
  'compile it (a C++20 compiler, make and python3 are needed): npx node-gyp rebuild -C node_modules/memmap/native';

const SYSTEMS = ['linux', 'darwin'];
const PROCESSORS = ['x64', 'arm64'];

function textOf(cause: unknown): string {
  return cause instanceof Error
    ? `${(cause as NodeJS.ErrnoException).code ?? ''} ${cause.message}`
    : '';
}

/** A bundler has copied this file elsewhere, without the addon beside it. */
function isBundled(root: string): boolean {
  try {
    const card = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: string };
    return card.name !== 'memmap';
  } catch {
    return true;
  }
}

function glibcHere(): string {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime ?? 'another C library (musl)';
}

function permissionOf(said: string): Diagnosis | undefined {
  if (/ERR_DLOPEN_DISABLED|ERR_DLOPEN_FAILED.*disabled|native addons/i.test(said)) {
    return {
      reason: 'this process may not load native addons (--permission or --no-addons)',
      remedy: 'start node with --allow-addons, or without --no-addons',
    };
  }
  if (said.includes('ERR_ACCESS_DENIED')) {
    return {
      reason: 'the permission model keeps the package from reading its own folder',
      remedy: 'start node with --allow-fs-read for node_modules/memmap, and --allow-addons',
    };
  }
  return undefined;
}

function libraryOf(said: string): Diagnosis | undefined {
  const needed = /GLIBC_([\d.]+)/.exec(said)?.[1] ?? /GLIBCXX_([\d.]+)/.exec(said)?.[0];
  if (needed !== undefined) {
    return {
      reason: `the C library is too old: the addon needs ${needed}, this system has ${glibcHere()}`,
      remedy: COMPILE,
    };
  }
  if (/libc\.musl|ld-musl|ld-linux|Error relocating/.test(said)) {
    return { reason: `the addon is for another C library than ${glibcHere()}`, remedy: COMPILE };
  }
  if (
    /invalid ELF header|wrong ELF class|file too short|mach-o|incompatible architecture|cannot open shared object/i.test(
      said,
    )
  ) {
    return {
      reason: `the addon is damaged, or for another processor than ${process.arch}`,
      remedy: 'install the package on the machine that runs it',
    };
  }
  return undefined;
}

export function diagnose({ root, cause }: LoadAttempt): Diagnosis {
  const { platform, arch } = process;
  if (!SYSTEMS.includes(platform) || !PROCESSORS.includes(arch)) {
    return {
      reason: `${platform} on ${arch} is not supported`,
      remedy: 'run it on Linux (x64 or arm64)',
    };
  }
  const said = textOf(cause);
  const permission = permissionOf(said);
  if (permission !== undefined) return permission;
  if (isBundled(root)) {
    return {
      reason: 'the package was bundled, and its addon is not beside the bundle',
      remedy:
        "leave memmap out of the bundle (esbuild, webpack, rollup: external: ['memmap']; Next: serverExternalPackages)",
    };
  }
  const library = libraryOf(said);
  if (library !== undefined) return library;
  return { reason: `there is no addon for ${platform}-${arch}`, remedy: COMPILE };
}

/** The addon could not be loaded: the reason first, then what to do. `cause` has the loader's own words. */
export class LoadError extends Error {
  readonly code = 'ERR_MEMMAP_LOAD';
  readonly reason: string;
  readonly remedy: string;

  constructor(attempt: LoadAttempt) {
    const { reason, remedy } = diagnose(attempt);
    const seen = attempt.looked.map((path) => `  ${path}${existsNow(path) ? '' : ' (not there)'}`);
    super(`memmap: ${reason}\n${remedy}\nLooked for:\n${seen.join('\n')}`, {
      cause: attempt.cause,
    });
    this.name = 'LoadError';
    this.reason = reason;
    this.remedy = remedy;
  }
}

/** The permission model may refuse to tell. */
function existsNow(path: string): boolean {
  try {
    return existsSync(path);
  } catch {
    return false;
  }
}
