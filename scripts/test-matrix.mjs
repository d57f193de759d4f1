// npm run test:matrix [-- 22 26]: the suite on other versions of Node, with the addon that this Node has built.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { add, conclude, none, runSuite } from './jest.mjs';
import { ensureSetup } from './setup.mjs';
import { inRoot, npmStep } from './util.mjs';

const asked = process.argv.slice(2);
const versions = asked.length > 0 ? asked : ['22', '24', '26'];
const folder = inRoot('.build', 'nodes');
const binary = (version) => `${folder}/node_modules/node-${version}/bin/node`;

/** Node's binaries are packages: one for each platform, without a script. */
function ensureNodes() {
  const missing = versions.filter((version) => !existsSync(binary(version)));
  if (missing.length === 0) return;
  mkdirSync(folder, { recursive: true });
  if (!existsSync(`${folder}/package.json`)) {
    writeFileSync(`${folder}/package.json`, '{ "private": true }\n');
  }
  const name = `node-${process.platform}-${process.arch}`;
  const aliases = missing.map((version) => `node-${version}@npm:${name}@${version}`);
  npmStep(`npm install ${aliases.join(' ')}`, ['install', '--prefix', folder, ...aliases]);
}

ensureSetup();
ensureNodes();

const rows = versions.map((version) => {
  const node = binary(version);
  const name = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`\n== Node ${name}`);
  return { name, result: runSuite({ node }) };
});

console.log('');
for (const { name, result } of rows) {
  // A version in which nothing ran is a failure of its own: the others must not hide it.
  if (result.passed === 0 && result.failed === 0) result.failed = 1;
  console.log(
    `Node ${name}: passed ${result.passed}, failed ${result.failed}, skipped ${result.skipped}`,
  );
}
conclude(rows.map(({ result }) => result).reduce(add, none));
