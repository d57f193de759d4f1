// The frame of the command line: help, mistakes, exit codes, closed pipes.

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from '../../lib/cli/command';
import { main, memmap } from '../helpers/cli';

const { version, bin } = JSON.parse(
  readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8'),
) as { version: string; bin: Record<string, string> };

// eslint-disable-next-line @typescript-eslint/no-require-imports -- as compiled: the source needs a bundler
const { commands } = require('../../dist/cli/commands.js') as { commands: readonly Command[] };

const said = (stdout: RegExp) => ({
  code: 0,
  signal: null,
  stderr: '',
  stdout: expect.stringMatching(stdout),
});
const failed = (code: number, stderr: RegExp) => ({
  ...{ code, signal: null, stdout: '' },
  stderr: expect.stringMatching(stderr),
});

it('is the program of the package', () => {
  expect(join(__dirname, '..', '..', bin['memmap']!)).toBe(main);
  expect(readFileSync(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
});

it('lists every command with what it does', () => {
  const answer = memmap(['--help']);
  expect(answer).toMatchObject(said(/^Usage: memmap COMMAND/));
  for (const { name, summary } of commands)
    expect(answer.stdout).toContain(`  ${name}`.padEnd(16) + summary);
  expect(memmap(['help'])).toEqual(answer);
  expect(memmap(['-h'])).toEqual(answer);
});

it.each(commands.map(({ name }) => name))('explains %s in three ways', (name) => {
  const answer = memmap(['help', name]);
  expect(answer).toMatchObject(said(new RegExp(`^Usage: memmap ${name}`)));
  expect(memmap([name, '--help'])).toEqual(answer);
  expect(memmap([name, '-h'])).toEqual(answer);
  // A terminal is at least so wide.
  expect(answer.stdout.split('\n').filter((line) => line.length > 110)).toEqual([]);
});

it('says its version', () => {
  expect(memmap(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
});

it('says in words that the addon cannot be loaded', () => {
  const program = `require('node:module')._extensions['.node'] = () => { throw new Error('no addon'); };
    process.argv[2] = process.argv[1]; process.argv[1] = 'memmap'; require(${JSON.stringify(main)});`;
  const run = (word: string) =>
    spawnSync(process.execPath, ['-e', program, '--', word], { encoding: 'utf8' });
  expect(run('regions')).toMatchObject({
    ...{ status: 1, stdout: '' },
    stderr: expect.stringMatching(/^memmap: .*no addon/s),
  });
  expect(run('regions').stderr).not.toMatch(/^ +at /m);
  expect(run('--version')).toMatchObject({ status: 0, stdout: `${version}\n` });
});

describe('a mistake is one line, a pointer to the help, and exit code 2', () => {
  const mistakes: [string[], RegExp][] = [
    [[], /^memmap: a command is wanted\nTry 'memmap --help'\.\n$/],
    [['reggions'], /^memmap: there is no command "reggions"\nTry 'memmap --help'\.\n$/],
    [['--loud'], /^memmap: there is no option --loud\nTry 'memmap --help'\.\n$/],
    [['help', 'nothing'], /^memmap: there is no command "nothing"\n/],
    [['regions', '--loud'], /^memmap: Unknown option '--loud'\nTry 'memmap help regions'\.\n$/],
    [['regions', '--sort'], /^memmap: Option '--sort <value>' argument missing\n/],
    [
      ['regions', '--sort', 'colour'],
      /^memmap: --sort is one of address, size, resident; "colour" is not\n/,
    ],
    [['regions', '--owner', 'me'], /^memmap: --owner is one of .*libc-heap.*; "me" is not\n/],
    [['regions', 'x1'], /^memmap: a process id is a whole number; "x1" is not\n/],
    [['regions', '0'], /^memmap: a process id is a whole number/],
    [['regions', '--', '-5'], /^memmap: a process id is a whole number/],
    [['regions', '1.5'], /^memmap: a process id is a whole number/],
    [['regions', '4294967296'], /^memmap: a process id is a whole number/],
    [['regions', '1', '2'], /^memmap: one process at a time\nTry 'memmap help regions'\.\n$/],
    [['view', '1', '2'], /^memmap: one process at a time\nTry 'memmap help view'\.\n$/],
    [['view', '-o', '-', '--open'], /^memmap: --open needs a file\n/],
  ];
  it.each(mistakes)('%j', (args, words) => {
    expect(memmap(args)).toMatchObject(failed(2, words));
  });
});

describe('what cannot be had is one line and exit code 1', () => {
  const nobody = '2147483646';
  it.each([['regions'], ['view']])('%s of a process that is gone', (name) => {
    const words = new RegExp(`^memmap: there is no process ${nobody}\\n$`);
    expect(memmap([name, nobody])).toMatchObject(failed(1, words));
  });

  it('shows the stack to those who ask', () => {
    const { stderr } = memmap(['regions', nobody], { env: { MEMMAP_DEBUG: '1' } });
    expect(stderr).toMatch(/^memmap: there is no process \d+\nCommandError: .*\n +at /);
  });
});

it('ends quietly when nobody reads on', async () => {
  const child = spawn(process.execPath, [main, 'regions', '--json']);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // Gone before the first byte.
  child.stdout.destroy();
  const ended = await new Promise((resolve) =>
    child.on('close', (code, signal) => resolve([code, signal])),
  );
  expect([ended, stderr]).toEqual([[0, null], '']);
});
