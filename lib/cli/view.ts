// `memmap view`: a page that draws what a process has mapped.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { CommandError, parseCommandLine, parsePid, UsageError, type Command } from './command.js';
import type { PageData } from './data.js';
import { print } from './output.js';
import { renderPage } from './page.js';
import { commandOf, look, pageSize, titleOf } from './process.js';
import { readSaved } from './saved.js';

const help = `Usage: memmap view [PID] [options]

Writes a page that draws what a process has mapped: memmap's own, where no PID is given. The page is
one file that needs nothing else, and works in any browser without a network.

Options:
  -o, --output FILE   where to; memmap-PID.html by default, - is the standard output
  --from FILE         draws what was saved instead: by memmap regions --json, by memmap run --trace,
                      or by a program itself, JSON.stringify(addressSpace.regions())
  --title TEXT        the heading; the command of the process by default
  --open              show it in the browser
  -h, --help          this text`;

function save(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot write ${file}: ${code ?? message}`, { cause: error });
  }
}

/** With what the desktop opens files with. */
function show(file: string): Promise<void> {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  return new Promise((resolve, reject) => {
    const child = spawn(program, [file], { stdio: 'ignore', detached: true });
    child.on('error', () =>
      reject(new CommandError(`there is no ${program} to show ${file} with`)),
    );
    child.on('spawn', () => {
      child.unref();
      resolve();
    });
  });
}

/** What a process has mapped now. */
async function dataOf(pid: number): Promise<PageData> {
  const { regions } = await look(pid);
  const words = commandOf(pid);
  return {
    title: titleOf(words) || `process ${String(pid)}`,
    pid,
    command: words.join(' '),
    taken: new Date().toISOString(),
    pageSize: await pageSize(),
    regions,
  };
}

async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseCommandLine({
    args: argv,
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o' },
      from: { type: 'string' },
      title: { type: 'string' },
      open: { type: 'boolean' },
    },
  });
  const { from, title, output } = values;
  if (positionals.length > 1) throw new UsageError('one process at a time');
  if (from !== undefined && positionals.length > 0) {
    throw new UsageError('a process or --from, not both');
  }
  if (output === '-' && values.open) throw new UsageError('--open needs a file');
  const pid = parsePid(positionals[0]);
  const file = output ?? (from === undefined ? `memmap-${String(pid)}.html` : `${from}.html`);
  const data = from === undefined ? await dataOf(pid) : readSaved(from, await pageSize());
  const page = renderPage({ ...data, ...(title !== undefined && { title }) });
  if (file === '-') {
    await print(page);
    return 0;
  }
  save(file, page);
  process.stderr.write(`memmap: ${file} shows ${String(data.regions.length)} regions\n`);
  if (values.open) await show(file);
  return 0;
}

export const viewCommand: Command = {
  name: 'view',
  summary: 'draw what a process has mapped, as one HTML page',
  help,
  run,
};
