// Two processes count in one file, and no count is lost: node examples/counter.mjs FILE
// Atomics work on a shared mapping as they do on a SharedArrayBuffer, but for wait().
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { mapFileSync } from 'memmap';

const TIMES = 100_000;

const [path, role] = process.argv.slice(2);
if (!path) throw new Error('usage: node examples/counter.mjs FILE');

const mapping = mapFileSync(path, { access: 'read-write', create: true, size: 8 });
const { buffer } = mapping;
const counter = new BigInt64Array(buffer.buffer, buffer.byteOffset, 1);

const count = () => {
  for (let i = 0; i < TIMES; i++) Atomics.add(counter, 0, 1n);
};

if (role === 'child') {
  count();
} else {
  Atomics.store(counter, 0, 0n);
  const self = fileURLToPath(import.meta.url);
  const child = promisify(execFile)(process.execPath, [self, path, 'child']);
  count();
  await child;
  console.log(`two processes counted to ${Atomics.load(counter, 0)}`);
}
mapping.unmap();
