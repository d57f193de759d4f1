// What every script needs: the package root, child processes, file lists. Node built-ins only, so that a script can start
// before anything is installed.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const inRoot = (...parts) => join(root, ...parts);

/** Whether this module is the one that node was started with. */
export const isMain = (meta) => realpathSync(process.argv[1] ?? '.') === fileURLToPath(meta.url);

/** Every file below a file or folder of the package; none if it does not exist. */
export function filesBelow(path) {
  const full = inRoot(path);
  if (!existsSync(full)) return [];
  if (statSync(full).isFile()) return [full];
  return readdirSync(full, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/**
 * Runs a program in the package root and waits; its status, 1 for a signal.
 * A child that prepares things says so on stderr: stdout belongs to the command that was asked for.
 */
export function spawn(command, args, { quiet = false, env = {} } = {}) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['inherit', quiet ? 2 : 'inherit', 'inherit'],
  });
  if (error) throw error;
  if (signal) console.error(`${command} ${args[0] ?? ''} was ended by ${signal}`);
  return status ?? 1;
}

/** A step of the set-up: announced on stderr; its failure ends this process with the same status. */
export function step(title, command, args, options = {}) {
  console.error(`memmap: ${title}`);
  const status = spawn(command, args, { quiet: true, ...options });
  if (status !== 0) process.exit(status);
}

/** The npm that runs us, else the one on the PATH. */
export function npmStep(title, args) {
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('npm-cli.js')) step(title, process.execPath, [cli, ...args]);
  else step(title, 'npm', args);
}

/** A tool of node_modules by its script: no shell, and this very Node. */
export const tool = (...parts) => inRoot('node_modules', ...parts);
