import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { LoadError } from '../lib/load-error.js';
import { Scratch } from './helpers/files.js';

const root = join(__dirname, '..');
const scratch = new Scratch();
afterAll(() => scratch.remove());

const said = (message: string, code = 'ERR_DLOPEN_FAILED'): LoadError =>
  new LoadError({ root, looked: ['/none'], cause: Object.assign(new Error(message), { code }) });

it.each([
  [
    "/lib/libc.so.6: version `GLIBC_2.34' not found (required by memmap.node)",
    /the addon needs 2\.34, this system has \d/,
  ],
  ['libstdc++.so.6: version `GLIBCXX_3.4.30 not found', /needs GLIBCXX_3\.4\.30/],
  ['Error loading shared library ld-linux-x86-64.so.2: No such file', /another C library/],
  ['memmap.node: invalid ELF header', /damaged, or for another processor/],
])('says what the loader means by %s', (message, reason) => {
  const error = said(message);
  expect(error).toMatchObject({ name: 'LoadError', code: 'ERR_MEMMAP_LOAD' });
  expect(error.reason).toMatch(reason);
  expect(error.message.split('\n')[0]).toBe(`memmap: ${error.reason}`);
});

it('says that addons are switched off, and how they are switched on', () => {
  const program = `try { require(${JSON.stringify(root)}) } catch ({ code, reason, remedy }) { console.log(code, reason, remedy) }`;
  const printed = execFileSync(process.execPath, ['--no-addons', '-e', program], {
    encoding: 'utf8',
  });
  expect(printed).toMatch(
    /^ERR_MEMMAP_LOAD this process may not load native addons .* --allow-addons/,
  );
});

it('says that it was bundled', () => {
  const folder = scratch.path('bundle');
  fs.mkdirSync(folder);
  fs.cpSync(join(root, 'dist', 'index.js'), join(folder, 'index.js'));
  fs.mkdirSync(join(folder, 'node_modules'));
  fs.cpSync(
    join(root, 'node_modules', 'node-gyp-build'),
    join(folder, 'node_modules', 'node-gyp-build'),
    { recursive: true },
  );
  const { stderr, status } = spawnSync(
    process.execPath,
    ['-e', `require(${JSON.stringify(folder)})`],
    { encoding: 'utf8' },
  );
  expect(status).toBe(1);
  expect(stderr).toContain('memmap: the package was bundled');
  expect(stderr).toContain("external: ['memmap']");
});
