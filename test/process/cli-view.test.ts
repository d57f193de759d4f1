// `memmap view`: the page of a process that runs, in a file, opened in a browser.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
