// Who holds a lock, or writes a Latest, is killed: the programs of the tests, for longer.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { inRoot } from '../util.mjs';

const require = createRequire(import.meta.url);
const entry = inRoot('dist', 'index.js');
const helper = (name) => inRoot('test', 'helpers', name);

/** Until so many died in the section: the others of those that were killed were elsewhere. */
export async function mutex({ kills }) {
  const { killOwners } = await import(helper('kill-owners.mjs'));
  const folder = mkdtempSync(join(tmpdir(), 'memmap-soak-'));
  let [killed, died, completed] = [0, 0, 0];
  try {
    while (died < kills) {
      const path = join(folder, String(killed));
      const counted = await killOwners({ entry, path, kills: Math.max(10, kills - died) });
      if (counted.counter !== counted.completed) {
        throw new Error(`the counter is ${counted.counter} instead of ${counted.completed}`);
      }
      killed += counted.kills;
      died += counted.deaths;
      completed += counted.completed;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return `${killed} killed, ${died} of them owners; counted to ${completed}`;
}

const many = (count, role, argument, mortal = false) =>
  Array.from({ length: count }, () => ({ role, argument, mortal }));

async function crew({ kills, broken }, members) {
  const { run } = require(helper('crew.js'));
  // What is broken is seen at some time, and nobody has to die for it.
  const plan = broken ? { kills: 0, work: 2 ** 30 } : { kills: Math.ceil(kills / 5), work: 10_000 };
  const done = await run({ entry, crew: members, ...plan });
  return `${plan.kills} killed; ${done} times it was right`;
}

export const semaphore = (options) =>
  crew(options, [
    ...many(2, 'semaphore', { permits: 2 }),
    ...many(2, 'semaphore', { permits: 2 }, true),
    // Those who have another semaphore keep nobody out of this one.
    ...many(options.broken ? 2 : 0, 'semaphore', { permits: 2, apart: true }),
  ]);

export const rwlock = (options) =>
  crew(options, [
    ...many(1, 'rwWriter'),
    ...many(1, 'rwReader', { bold: options.broken }),
    ...many(1, 'rwWriter', undefined, true),
    ...many(1, 'rwReader', undefined, true),
  ]);

export const latest = (options) =>
  crew(options, [
    ...many(2, 'latestWriter', undefined, true),
    ...many(1, 'latestReader', { broken: options.broken }),
    ...many(1, 'latestReader', undefined, true),
  ]);

/** Half of the kills where messages are looked at in place, half where they are taken. */
export async function channel({ kills, seconds }) {
  const half = Math.ceil(kills / 4);
  const lines = [];
  for (const taking of ['peek', 'receive']) {
    const args = [helper('channel-kills.js'), String(half), taking, String(seconds)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
    const [code, signal] = await once(child, 'close');
    if (code !== 0) throw new Error(`${taking} ended with ${signal ?? code}: ${said}`);
    const { done, sent, received, redelivered } = JSON.parse(said);
    lines.push(
      `${taking}: ${done} killed, ${sent} sent, ${received} received, ${redelivered} given to another`,
    );
  }
  return lines.join('; ');
}
