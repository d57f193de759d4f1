// Every way a process ends, at every moment of a mapping's life. What it left in a shared mapping is in the file.
import { readFileSync, rmSync } from 'node:fs';
import { runProgram, withGc } from './program';

const lives: Record<string, string> = {
  'nothing mapped': '',
  'a mapping': 'const m = memmap.mapFileSync(path);',
  'live views':
    "const m = memmap.mapFileSync(path, { access: 'read-write' }); const views = [m.buffer, m.view(0, 10)]; views[1].write('written');",
  'a view and no mapping': 'const view = memmap.mapFileSync(path).buffer; gc();',
  'an unmapped view': 'const m = memmap.mapFileSync(path); const view = m.buffer; m.unmap();',
  'a transferred view':
    'const m = memmap.mapFileSync(path); const moved = m.buffer.buffer.transfer?.(); m.unmap();',
  '3000 dropped mappings': 'for (let i = 0; i < 3000; i++) memmap.mapFileSync(path).buffer; gc();',
  'a replaced part':
    "const m = memmap.mapFileSync(path, { access: 'copy-on-write' }); m.buffer; memmap.sys.munmap(m.address + BigInt(PAGE), PAGE, { replace: m });",
  'a pin': 'const pin = memmap.mapFileSync(path).pin();',
  'the thread pool at work on a view':
    "const m = memmap.mapAnonymous(2 ** 24); for (let i = 0; i < 8; i++) require('node:crypto').randomFill(m.buffer, () => {}); fs.read(fs.openSync('/dev/zero', 'r'), m.buffer, () => {});",
  'the thread pool at work on an unmapped view':
    "const m = memmap.mapAnonymous(2 ** 24); for (let i = 0; i < 8; i++) require('node:crypto').randomFill(m.buffer, () => {}); m.unmap();",
  'hidden pages': "const m = memmap.mapFileSync(path); m.buffer; m.protect('none');",
};

interface Ending {
  source: string;
  code: number | null;
  signal?: NodeJS.Signals;
  /** What stderr must match; empty by default. */
  says?: RegExp;
}

const endings: Record<string, Ending> = {
  'the event loop drains': { source: '', code: 0 },
  'process.exit': { source: 'process.exit(5);', code: 5 },
  'process.reallyExit': { source: 'process.reallyExit(6);', code: 6 },
  'an uncaught exception': {
    source: "throw new Error('on purpose');",
    code: 1,
    says: /on purpose/,
  },
  'an exception in a callback': {
    source: "setImmediate(() => { throw new Error('on purpose'); });",
    code: 1,
    says: /on purpose/,
  },
  'an exit listener that maps and unmaps': {
    source:
      "process.on('exit', () => { const late = memmap.mapFileSync(path); late.buffer[0]; late.unmap(); memmap.mapAnonymous(1).buffer; process.exitCode = 8; });",
    code: 8,
  },
  SIGTERM: {
    source: "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);",
    code: null,
    signal: 'SIGTERM',
  },
};

for (const [how, { source, code, signal = null, says = /^$/ }] of Object.entries(endings)) {
  for (const [life, work] of Object.entries(lives)) {
    test(`${how}, with ${life}`, async () => {
      const ended = await runProgram(
        `const path = scratch(16 * PAGE);\n${work}\nconsole.log('about to end');\n${source}`,
        withGc,
      );
      expect(ended).toMatchObject({ code, signal, stdout: 'about to end\n' });
      expect(ended.stderr).toMatch(says);
    });
  }
}

test('what was written is in the file, however it ended', async () => {
  for (const end of ['', 'process.exit(0);', "process.kill(process.pid, 'SIGKILL');"]) {
    const { stdout } = await runProgram(`
      const path = join(require('node:os').tmpdir(), 'memmap-exit-' + String(process.pid));
      const m = memmap.mapFileSync(path, { access: 'read-write', create: true, size: 100 });
      m.buffer.write('written');
      fs.writeSync(1, path);
      ${end}
    `);
    try {
      expect(readFileSync(stdout).toString('latin1', 0, 7)).toBe('written');
    } finally {
      rmSync(stdout);
    }
  }
});
