// `memmap view`: the page of a process that runs, in a file, opened in a browser.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { madeUpTrace } from '../helpers/address-spaces';
import { memmap, waiting } from '../helpers/cli';
import { dataIn, noBrowser, TestBrowser } from '../helpers/browser';
import { Scratch } from '../helpers/files';
import { itUnless } from '../helpers/refusals';

const scratch = new Scratch();
const browser = new TestBrowser();
afterAll(async () => {
  await browser.close();
  scratch.remove();
});

const standing = () =>
  waiting(`globalThis.kept = Buffer.alloc(2e7, 1); console.log('here'); process.stdin.resume();`);

it('writes one page with everything in it', async () => {
  const child = await standing();
  const file = scratch.path('map.html');
  const answer = memmap(['view', String(child.pid), '-o', file]);
  await child.stop();
  expect(answer).toMatchObject({ code: 0, stdout: '' });
  const page = readFileSync(file, 'utf8');
  const data = dataIn(page);
  expect(answer.stderr).toBe(`memmap: ${file} shows ${String(data.regions.length)} regions\n`);
  expect(data).toMatchObject({
    pid: child.pid,
    title: expect.stringMatching(/^node -e globalThis/),
  });
  expect(data.regions.length).toBeGreaterThan(30);
  expect(Math.abs(Date.parse(data.taken) - Date.now())).toBeLessThan(600_000);
  // Nothing in it points anywhere, but for names in licences.
  const [markup = ''] = page.split('<!-- This page contains');
  expect(markup).not.toMatch(/<(link|img|script|iframe)[^>]*(src|href)="(?!data:)/);
  expect(markup).toMatch(/default-src 'none'/);
  expect(page).toMatch(/Permission to use, copy, modify/);
});

itUnless(noBrowser)('which a browser shows', async () => {
  const child = await standing();
  const file = scratch.path('map.html');
  memmap(['view', String(child.pid), '-o', file]);
  await child.stop();
  const opened = await browser.openFile(file);
  const { regions, drawn } = await opened.state();
  expect(regions).toBe(dataIn(readFileSync(file, 'utf8')).regions.length);
  expect(drawn).toBeGreaterThan(20);
  await opened.page.fill('#query', 'libc.so');
  expect((await opened.press('Enter')).selected?.kind).toBe('library');
  expect(opened.problems).toEqual([]);
});

it('names the file after the process, and takes a title', () => {
  const cwd = scratch.path('folder');
  mkdirSync(cwd);
  const pid = String(process.pid);
  expect(memmap(['view', pid, '--title', 'My <b>process</b>'], { cwd }).code).toBe(0);
  const data = dataIn(readFileSync(join(cwd, `memmap-${pid}.html`), 'utf8'));
  expect(data.title).toBe('My <b>process</b>');
});

it('writes to the standard output, and looks at itself', () => {
  const { code, stdout, stderr } = memmap(['view', '-o', '-']);
  expect([code, stderr]).toEqual([0, '']);
  expect(dataIn(stdout).command).toBe('memmap view -o -');
});

describe('--from draws what was saved', () => {
  const save = (value: unknown): string => {
    const file = scratch.path('saved.json');
    writeFileSync(file, JSON.stringify(value));
    return file;
  };
  const shown = (file: string, ...args: string[]) => {
    const answer = memmap(['view', '--from', file, '-o', '-', ...args]);
    expect(answer).toMatchObject({ code: 0, stderr: '' });
    return dataIn(answer.stdout);
  };

  it('by memmap regions --json', () => {
    const file = scratch.path('regions.json');
    writeFileSync(file, memmap(['regions', '--json']).stdout);
    expect(shown(file).regions).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  });

  it('by a program of itself, which knows its mappings', () => {
    const index = join(__dirname, '..', '..', 'dist', 'index.js');
    const { stdout } = spawnSync(
      process.execPath,
      [
        '-e',
        `const m = require(${JSON.stringify(index)}); const a = m.mapAnonymous(1 << 20);
        console.log(JSON.stringify(m.addressSpace.regions())); a.unmap()`,
      ],
      { encoding: 'utf8' },
    );
    const file = save(JSON.parse(stdout));
    const kinds = shown(file, '--title', 'mine').regions.map(({ owner }) => owner.kind);
    expect(kinds).toContain('mapping');
  });

  it('by memmap run --trace', () => {
    const trace = madeUpTrace();
    const data = shown(save(trace));
    expect(data.trace).toEqual(trace);
    expect(data).toMatchObject({ title: 'node app.js', pid: 4321, taken: trace.started });
  });

  it('and nothing else', () => {
    const wrong: unknown[] = [{}, 5, null, [{ start: 'here' }], { ...madeUpTrace(), version: 2 }];
    for (const value of wrong) {
      const file = save(value);
      const { code, stderr } = memmap(['view', '--from', file, '-o', '-']);
      const words = `memmap: ${file} is neither a list of regions nor a trace of memmap run\n`;
      expect([code, stderr]).toEqual([1, words]);
    }
    const none = scratch.path();
    expect(memmap(['view', '--from', none])).toMatchObject({
      ...{ code: 1, stdout: '' },
      stderr: `memmap: cannot read ${none}: ENOENT\n`,
    });
    expect(memmap(['view', '1', '--from', none]).code).toBe(2);
  });
});

it('says that it cannot write', () => {
  const nowhere = join(scratch.folder, 'no', 'such', 'folder', 'map.html');
  expect(memmap(['view', '-o', nowhere])).toMatchObject({
    ...{ code: 1, stdout: '' },
    stderr: `memmap: cannot write ${nowhere}: ENOENT\n`,
  });
});

const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';

it('--open hands the file to the desktop', () => {
  const bin = scratch.path('bin');
  mkdirSync(bin);
  const fifo = scratch.fifo();
  writeFileSync(join(bin, opener), `#!/bin/sh\necho "$1" > '${fifo}'\n`);
  chmodSync(join(bin, opener), 0o755);
  const file = scratch.path('map.html');
  const { code } = memmap(['view', '-o', file, '--open'], {
    env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
  });
  expect(code).toBe(0);
  expect(readFileSync(fifo, 'utf8')).toBe(`${file}\n`);
  const without = memmap(['view', '-o', file, '--open'], { env: { PATH: scratch.folder } });
  expect(without.code).toBe(1);
  expect(without.stderr).toMatch(new RegExp(`there is no ${opener} to show .* with\n$`));
});
