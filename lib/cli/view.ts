// `memmap view`: a page that draws what a process has mapped.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { CommandError, parseCommandLine, parsePid, UsageError, type Command } from './command.js';
import { print } from './output.js';
import { renderPage } from './page.js';
import { commandOf, look, pageSize, titleOf } from './process.js';

const help = `Usage: memmap view [PID] [options]

Writes a page that draws what a process has mapped: memmap's own, where no PID is given. The page is
one file that needs nothing else, and works in any browser without a network.

Options:
  -o, --output FILE   where to; memmap-PID.html by default, - is the standard output
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

async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseCommandLine({
    args: argv,
    allowPositionals: true,
    options: {
      output: { type: 'string', short: 'o' },
      title: { type: 'string' },
      open: { type: 'boolean' },
    },
  });
  if (positionals.length > 1) throw new UsageError('one process at a time');
  const pid = parsePid(positionals[0]);
  const file = values.output ?? `memmap-${String(pid)}.html`;
  if (file === '-' && values.open) throw new UsageError('--open needs a file');
  const { regions } = await look(pid);
  const words = commandOf(pid);
  const page = renderPage({
    title: values.title ?? (titleOf(words) || `process ${String(pid)}`),
    pid,
    command: words.join(' '),
    taken: new Date().toISOString(),
    pageSize: await pageSize(),
    regions,
  });
  if (file === '-') {
    await print(page);
    return 0;
  }
  save(file, page);
  process.stderr.write(`memmap: ${file} shows ${String(regions.length)} regions\n`);
  if (values.open) await show(file);
  return 0;
}

export const viewCommand: Command = {
  name: 'view',
  summary: 'draw what a process has mapped, as one HTML page',
  help,
  run,
};
