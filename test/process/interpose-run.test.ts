// `memmap run` as a command: how it ends, what it refuses to start, what it says.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pageSize } from '../../lib/granularity';
import { tableHead } from '../../lib/looking/trace-table';
import { SmallDisk, Scratch } from '../helpers/files';
import {
  compile,
  expectGood,
  helper,
  mapperSource,
  memmap,
  runUnder,
  script,
  traceUnder,
  unsupported,
} from '../helpers/interposed';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
afterAll(() => scratch.remove());

const mapper = join(scratch.folder, 'mapper');
const missing = unsupported ?? compile(mapperSource, mapper);
const test = itUnless(missing);
const asRoot = itUnless(
  missing ?? (process.getuid?.() === 0 ? undefined : 'only root may do that'),
);

describe('ends as the program does', () => {
  test.each([0, 1, 42, 255])('with code %d', async (code) => {
    expect(await runUnder(['sh', '-c', `exit ${String(code)}`])).toMatchObject({
      code,
      signal: null,
    });
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGKILL', 'SIGUSR2', 'SIGHUP', 'SIGPIPE'] as const)(
    'by %s',
    async (signal) => {
      const result = await runUnder(['sh', '-c', `kill -${signal.slice(3)} $$`]);
      expect(result).toMatchObject({ code: null, signal });
      expect(result.summary).toContain(`ended by ${signal}`);
    },
  );

  test('by a crash', async () => {
    const result = await runUnder(script("process.kill(process.pid, 'SIGSEGV');"));
    expect(result).toMatchObject({ code: null, signal: 'SIGSEGV' });
  });

  test('and what it reads and prints is its own', () => {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [memmap, 'run', '--', 'sh', '-c', 'cat; echo to-stderr >&2'],
      { input: 'from stdin', encoding: 'utf8' },
    );
    expect(stdout).toBe('from stdin');
    expect(stderr).toMatch(/^to-stderr\nmemmap run: /);
  });

  test('and leaves nothing in the temporary folder', async () => {
    const folder = scratch.path('tmp');
    mkdirSync(folder);
    for (const end of ['exit 3', 'kill -TERM $$']) {
      await runUnder(['sh', '-c', end], { env: { TMPDIR: folder } });
    }
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a signal for memmap run', () => {
  const waiting = `process.on('SIGTERM', () => { console.log('heard SIGTERM'); process.exit(9); });
    process.on('SIGINT', () => { console.log('heard SIGINT'); process.exit(8); });
    console.log('ready'); setInterval(() => {}, 1000);`;

  test.each([
    ['SIGTERM', 9],
    ['SIGINT', 8],
  ] as const)('%s reaches the program', async (signal, code) => {
    let sent = false;
    const result = await runUnder(script(waiting), {
      onOutput: (pid, stdout) => {
        if (!sent && stdout.includes('ready\n')) process.kill(pid, signal);
        sent ||= stdout.includes('ready\n');
      },
    });
    expect(result).toMatchObject({ code, signal: null, stdout: `ready\nheard ${signal}\n` });
  });

  test('that the program does not catch ends both', async () => {
    let sent = false;
    const result = await runUnder(script("console.log('ready'); setInterval(() => {}, 1000);"), {
      onOutput: (pid) => {
        if (!sent) process.kill(pid, 'SIGHUP');
        sent = true;
      },
    });
    expect(result).toMatchObject({ code: null, signal: 'SIGHUP' });
  });
});

describe('cannot be started:', () => {
  const says = async (command: string[], code: number, words: RegExp): Promise<void> => {
    const result = await runUnder(command);
    expect(result.summary).toMatch(words);
    expect(result).toMatchObject({ code, signal: null, stdout: '' });
  };

  test('what is not there', () =>
    says(['no-such-program'], 127, /no-such-program: no such program/));
  test('a folder', () => says(['/usr'], 127, /no such program/));
  test('a file that is no program', () => says([scratch.file('text')], 126, /cannot be executed/));
  test('a script whose interpreter is not there', async () => {
    const path = scratch.file('#!/no/such/shell\n');
    chmodSync(path, 0o755);
    await says([path], 127, /\/no\/such\/shell: no such program/);
  });

  test('a statically linked program, by itself or by a script', async () => {
    const program = join(scratch.folder, 'static');
    const pie = join(scratch.folder, 'static-pie');
    expect([
      compile(mapperSource, program, ['-static']),
      compile(mapperSource, pie, ['-static-pie']),
    ]).toEqual([undefined, undefined]);
    await says([program, 'once'], 125, /statically linked: without a dynamic loader/);
    await says([pie, 'once'], 125, /statically linked \(static-pie\): without/);
    const path = scratch.file(`#!${program}\n`);
    chmodSync(path, 0o755);
    await says([path], 125, /statically linked/);
  });

  test('a program for another machine', async () => {
    const head = readFileSync(mapper);
    head.writeUInt16LE(8, 18);
    const path = scratch.file(head);
    chmodSync(path, 0o755);
    await says([path], 125, /for another machine/);
  });

  asRoot('a program that changes its user', async () => {
    const path = scratch.path('setuid');
    copyFileSync(mapper, path);
    chownSync(path, 12345, 12345);
    chmodSync(path, 0o4755);
    await says([path, 'once'], 125, /changes its user or group/);
  });
});

test('a program that drops the helper: said, and its end is passed on', async () => {
  // env -i starts it without LD_PRELOAD, and env itself is what was recorded.
  const result = await traceUnder(scratch, ['env', '-i', mapper, 'once']);
  expectGood(result);
  expect(result.stdout).toBe('done\n');
  expect(result.trace.events.some(({ caller }) => caller.endsWith('/mapper'))).toBe(false);
});

describe('starts', () => {
  test('scripts, by their first line', async () => {
    const path = scratch.file('#!/usr/bin/env -S sh -e\nexit 6\n');
    chmodSync(path, 0o755);
    expect(await runUnder([path])).toMatchObject({ code: 6 });
  });

  test('a command without --, with options of its own', () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        memmap,
        'run',
        '--protect',
        'off',
        '--events',
        '100',
        'sh',
        '-c',
        'echo "$@"',
        'sh',
        '--events',
        '--',
        'x',
      ],
      { encoding: 'utf8' },
    );
    expect([status, stdout]).toEqual([0, '--events -- x\n']);
  });

  test('with what LD_PRELOAD has already', async () => {
    const source = scratch.path('other.c');
    const other = scratch.path('other.so');
    writeFileSync(
      source,
      '#include <stdio.h>\n__attribute__((constructor)) static void hello(void) { puts("the other is here"); }\n',
    );
    expect(compile(source, other, ['-shared', '-fPIC'])).toBeUndefined();
    const result = await traceUnder(scratch, [mapper, 'once'], { env: { LD_PRELOAD: other } });
    expectGood(result);
    expect(result.stdout).toMatch(/the other is here\ndone\n$/);
    expect(result.trace.events.length).toBeGreaterThan(2);
  });

  test('from a folder whose name LD_PRELOAD cannot hold', () => {
    const root = scratch.path('a b:c');
    mkdirSync(join(root, 'build', 'Release'), { recursive: true });
    const packageRoot = dirname(dirname(dirname(memmap)));
    cpSync(join(packageRoot, 'dist'), join(root, 'dist'), { recursive: true });
    copyFileSync(join(packageRoot, 'package.json'), join(root, 'package.json'));
    symlinkSync(join(packageRoot, 'node_modules'), join(root, 'node_modules'));
    copyFileSync(helper, join(root, 'build', 'Release', 'memmap-interpose.so'));
    copyFileSync(
      join(dirname(helper), 'memmap.node'),
      join(root, 'build', 'Release', 'memmap.node'),
    );
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(root, 'dist', 'cli', 'main.js'), 'run', '--', mapper, 'once'],
      { encoding: 'utf8' },
    );
    expect(stderr).toMatch(/ended with 0 after/);
    expect(status).toBe(0);
  });
});

describe('a wrong command line', () => {
  const wrong: [string[], RegExp][] = [
    [[], /a command is wanted/],
    [['--'], /a command is wanted/],
    [['--policy', 'worst-fit', 'true'], /--policy is one of first-fit, best-fit, top-down/],
    [['--protect', 'maybe', 'true'], /--protect is one of off, report, refuse/],
    [['--events', '0', 'true'], /--events is a whole number/],
    [['--events', '1e6', 'true'], /--events is a whole number/],
    [['--events', '10000001', 'true'], /--events is a whole number from 1 to 10000000/],
    [['--events', '99999999999', 'true'], /--events is a whole number/],
    [['--base', '12345', 'true'], /--base is an address/],
    [['--base', '0x1000000000000000', 'true'], /--base is an address/],
    [['--base', '-1', 'true'], /--base/],
    [['--base', `0x${(2 ** 47 - pageSize).toString(16)}`, 'true'], /reach beyond 2\^47/],
    [['--arena', 'lots', 'true'], /--arena is a size/],
    [['--arena', '1', 'true'], /--arena is a size/],
    [['--arena', '999999T', 'true'], /--arena is a size/],
    [['--unknown', 'true'], /unknown/],
  ];
  test.each(wrong)('%j', (argv, words) => {
    const { status, stderr } = spawnSync(process.execPath, [memmap, 'run', ...argv], {
      encoding: 'utf8',
    });
    expect(stderr).toMatch(words);
    expect(status).toBe(2);
  });
});

describe('under limits', () => {
  const limited = (limit: string, argv: string[]) =>
    spawnSync('sh', ['-c', `${limit}; exec "$@"`, 'sh', process.execPath, memmap, 'run', ...argv], {
      encoding: 'utf8',
    });

  test('of address space: there is no arena, it says so and goes on', () => {
    const { status, stderr, stdout } = limited(':', [
      ...['--policy', 'first-fit', '--', 'sh', '-c'],
      `ulimit -v 1000000; exec "${mapper}" errno`,
    ]);
    expect([status, stdout]).toEqual([0, 'done\n']);
    expect(stderr).toMatch(/no arena of 65536 MiB: ENOMEM, .*ulimit -v.*; the kernel places/);
    expect(stderr).toContain('placed: nothing, there was no arena');
  });

  test('of address space, so little that there is no room for the table: said, and it runs', () => {
    const { status, stderr, stdout } = limited(':', [
      ...['--', 'sh', '-c'],
      `ulimit -v 40000; exec "${mapper}" once`,
    ]);
    expect([status, stdout]).toEqual([0, 'done\n']);
    expect(stderr).toMatch(/the trace cannot be opened, so nothing is recorded/);
  });

  test('of the length of files: nothing is written, and nobody is ended by SIGXFSZ', () => {
    const { status, stdout, stderr } = limited(':', [
      ...['--children', '--', 'sh', '-c'],
      `ulimit -f 0; "${mapper}" once; exec "${mapper}" errno`,
    ]);
    expect([status, stdout]).toEqual([0, 'done\ndone\n']);
    expect(stderr).toMatch(/program 2 of the process/);
  });

  test('of the base: something is there', async () => {
    const fixed = join(scratch.folder, 'no-pie');
    expect(
      compile(mapperSource, fixed, ['-no-pie', '-Wl,-Ttext-segment=0x10000000']),
    ).toBeUndefined();
    const result = await runUnder([fixed, 'once'], {
      options: ['--base', '0x10000000', '--arena', '4G'],
    });
    expectGood(result);
    expect(result.summary).toMatch(
      /no arena of 4096 MiB at 0x[0-9a-f]+: something is mapped there/,
    );
  });

  asRoot('of the disk: calls are lost, and the program does not notice', async () => {
    const disk = SmallDisk.mount(scratch.folder, '1m');
    if (typeof disk === 'string') throw new Error(disk);
    try {
      const result = await traceUnder(scratch, [mapper, 'shrink', '40000'], {
        env: { TMPDIR: disk.folder },
      });
      expectGood(result);
      expect(result.stdout).toBe('done\n');
      expect(result.trace.lost).toBeGreaterThan(1000);
      expect(result.trace.events.length).toBeGreaterThan(1000);
      expect(result.summary).toMatch(/ lost \(was the disk full\?\)/);
    } finally {
      disk.unmount();
    }
  });
});

asRoot('on a full disk a process can still read its own trace', async () => {
  const disk = SmallDisk.mount(scratch.folder, '1500k');
  if (typeof disk === 'string') throw new Error(disk);
  try {
    const source = `
      const mapping = memmap.mapAnonymous(memmap.pageSize);
      for (let i = 0; i < 30000; i++) mapping.advise('normal');
      const { events, lost } = memmap.addressSpace.trace();
      console.log(events.length > 1000, lost > 1000, events.length + lost > 30000);`;
    const result = await runUnder(script(source), { env: { TMPDIR: disk.folder } });
    expectGood(result);
    expect(result.stdout).toBe('true true true\n');
  } finally {
    disk.unmount();
  }
});

test('threads that are cancelled in the middle of a call do not end the trace', async () => {
  const source = scratch.path('cancel.c');
  writeFileSync(
    source,
    `#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
static void *work(void *p) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
  for (;;) munmap(mmap(0, 65536, 3, 34, -1, 0), 65536);
  return p; }
int main(void) {
  for (int i = 0; i < 100; i++) {
    pthread_t other; pthread_create(&other, 0, work, 0);
    usleep(1000); pthread_cancel(other); pthread_join(other, 0);
  }
  puts("done"); return 0; }
`,
  );
  const program = scratch.path('cancel');
  expect(compile(source, program)).toBeUndefined();
  const result = await runUnder([program]);
  expectGood(result);
  expect(result.stdout).toBe('done\n');
  // A call that was cancelled itself has no record.
  const lost = Number(/, (\d+) lost/.exec(result.summary)?.[1] ?? 0);
  expect(lost).toBeLessThanOrEqual(100);
});

describe('the helper by itself', () => {
  const preloaded = (env: Record<string, string>) =>
    spawnSync(mapper, ['errno'], {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: helper, ...env },
    });

  test('without memmap run it only passes on', () => {
    expect(preloaded({})).toMatchObject({ status: 0, stdout: 'done\n', stderr: '' });
  });

  const garbage: [string, () => string][] = [
    ['is not there', () => scratch.path('none')],
    ['is a folder', () => scratch.folder],
    ['is empty', () => scratch.file('')],
    ['is garbage', () => scratch.file(Buffer.alloc(300_000, 0xa5))],
    ['is all zeros', () => scratch.file(Buffer.alloc(300_000))],
    [
      'claims more than it holds',
      () => {
        const bytes = Buffer.alloc(200_000);
        const options = { events: 1_000_000, pageSize, protect: 'off', policy: 'kernel' } as const;
        bytes.set(tableHead({ ...options, base: 0n, arena: 0, children: false }));
        return scratch.file(bytes);
      },
    ],
  ];
  test.each(garbage)('with a table that %s it says so, and only passes on', (_name, make) => {
    const { status, stdout, stderr } = preloaded({ MEMMAP_RUN: make() });
    expect([status, stdout]).toEqual([0, 'done\n']);
    expect(stderr).toMatch(
      /^memmap run: the trace cannot be opened, so nothing is recorded: .*\n$/,
    );
  });
});

test('arguments of any kind are in the trace as they were', async () => {
  const words = ['*', '"*"', 'a "b" \\ c', '\u2028</script>', ''];
  const { trace } = await traceUnder(scratch, ['sh', '-c', ':', ...words]);
  expect(trace.command).toEqual(['sh', '-c', ':', ...words]);
});

test('a library that was closed, and another in its place: each call has its own name', async () => {
  const folder = scratch.path('libs');
  mkdirSync(folder);
  const source = (name: string) =>
    `#include <sys/mman.h>\nvoid call(void) { munmap(mmap(0, 65536, 3, 34, -1, 0), 65536); }\nconst char *name = "${name}";\n`;
  for (const name of ['one', 'two']) {
    writeFileSync(join(folder, `${name}.c`), source(name));
    expect(
      compile(join(folder, `${name}.c`), join(folder, `${name}.so`), ['-shared', '-fPIC']),
    ).toBeUndefined();
  }
  const main = join(folder, 'main.c');
  writeFileSync(
    main,
    `#include <dlfcn.h>\n#include <stdio.h>\nint main(int n, char **v) {
      void *last = 0, *at = 0; int same = 0;
      for (int i = 0; i < 6; i++) {
        void *lib = dlopen(v[1 + i % 2], RTLD_NOW);
        void (*call)(void) = (void (*)(void))dlsym(lib, "call");
        at = (void *)call; same += at == last; last = at;
        call(); dlclose(lib);
      }
      printf("%d\\n", same); return 0; }\n`,
  );
  const program = join(folder, 'main');
  expect(compile(main, program, ['-ldl'])).toBeUndefined();
  const result = await traceUnder(scratch, [
    program,
    join(folder, 'one.so'),
    join(folder, 'two.so'),
  ]);
  expectGood(result);
  // They did lie in the same place, or this proves nothing.
  expect(Number(result.stdout)).toBeGreaterThan(0);
  const callers = result.trace.events
    .filter(({ call, length }) => call === 'mmap' && length === 65536)
    .map(({ caller }) => caller.slice(caller.lastIndexOf('/') + 1));
  expect(callers).toEqual(['one.so', 'two.so', 'one.so', 'two.so', 'one.so', 'two.so']);
});

test('somebody who stops all other threads by signals, as collectors do, is not stopped himself', async () => {
  const source = scratch.path('stopper.c');
  writeFileSync(
    source,
    `#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
static sem_t stopped; static atomic_int stops, resumed, end;
static void on_stop(int s) { (void)s; int number = atomic_load(&stops); sem_post(&stopped); while (atomic_load(&resumed) < number) { } }
static void *work(void *p) { while (!atomic_load(&end)) munmap(mmap(0, 65536, 3, 34, -1, 0), 65536); return p; }
int main(void) {
  pthread_t other; struct sigaction a = {.sa_handler = on_stop};
  sem_init(&stopped, 0, 0); sigaction(SIGUSR1, &a, 0);
  pthread_create(&other, 0, work, 0);
  for (int i = 1; i <= 200; i++) {
    atomic_store(&stops, i);
    pthread_kill(other, SIGUSR1);
    while (sem_wait(&stopped) != 0) { }
    for (int k = 0; k < 3; k++) munmap(mmap(0, 65536, 3, 34, -1, 0), 65536);
    atomic_store(&resumed, i);
    usleep(50);
  }
  atomic_store(&end, 1); pthread_join(other, 0); puts("never stuck"); return 0; }
`,
  );
  const program = scratch.path('stopper');
  expect(compile(source, program)).toBeUndefined();
  const result = await runUnder([program], { options: ['--policy', 'best-fit'] });
  expectGood(result);
  expect(result.stdout).toBe('never stuck\n');
});

test('on another platform it says that it is not supported', async () => {
  const source = `
    Object.defineProperty(process, 'platform', { value: 'darwin' });
    process.argv.splice(1, Infinity, 'memmap', 'run', 'node');
    require(${JSON.stringify(memmap)});`;
  const child: ChildProcess = spawn(process.execPath, ['-e', source], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr!.on('data', (text) => (stderr += String(text)));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(stderr).toMatch(/not supported on darwin yet: Linux only/);
  expect(code).toBe(1);
});

test('a helper that is missing is a checklist', () => {
  const root = scratch.path('without');
  const packageRoot = dirname(dirname(dirname(memmap)));
  mkdirSync(join(root, 'build', 'Release'), { recursive: true });
  cpSync(join(packageRoot, 'dist'), join(root, 'dist'), { recursive: true });
  copyFileSync(join(packageRoot, 'package.json'), join(root, 'package.json'));
  symlinkSync(join(packageRoot, 'node_modules'), join(root, 'node_modules'));
  copyFileSync(join(dirname(helper), 'memmap.node'), join(root, 'build', 'Release', 'memmap.node'));
  expect(existsSync(join(root, 'build', 'Release', 'memmap-interpose.so'))).toBe(false);
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(root, 'dist', 'cli', 'main.js'), 'run', 'true'],
    { encoding: 'utf8' },
  );
  expect(stderr).toMatch(/helper of memmap run is missing[\s\S]*npx node-gyp rebuild/);
  expect(status).toBe(1);
});

test('the page is written where it was built', async () => {
  const report = scratch.path('report.html');
  const template = join(dirname(dirname(memmap)), 'page', 'template.html');
  const result = await runUnder([mapper, 'once'], { options: ['--report', report] });
  if (existsSync(template)) {
    expectGood(result);
    expect(readFileSync(report, 'utf8')).toMatch(/"events":\{"count":[1-9]/);
  } else {
    expect(result.stderr).toContain('the page was not built');
    expect(result.code).toBe(1);
  }
});

test('the prebuilt helper has no symbols that strip leaves out, and is small', () => {
  const stripped = scratch.path('stripped.so');
  execFileSync('strip', ['-o', stripped, helper]);
  expect(readFileSync(stripped).length).toBeLessThan(100_000);
});
