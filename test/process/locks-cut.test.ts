// A file that is cut short under what lies in it: what is got there would be got by nobody else, so nothing is.
import { expectClean, runChild } from '../helpers/child.js';

const program = (make: string, acts: readonly string[]): string => `
  const fs = require('node:fs');
  const { join } = require('node:path');
  const folder = fs.mkdtempSync(join(require('node:os').tmpdir(), 'memmap-'));
  const path = join(folder, 'memory');
  const size = 2 ** 17;
  const memory = memmap.mapFileSync(path, { access: 'read-write', create: true, size });
  const it = ${make};
  let faults = 0;
  memory.on('fault', () => faults++);
  fs.truncateSync(path, 0);
  const said = [];
  for (const act of [${acts.map((act) => `() => it.${act}`).join(', ')}]) {
    try {
      await act();
      said.push('nothing');
    } catch (error) {
      said.push(error.code);
    }
  }
  console.log(JSON.stringify(said));
  // Put right, it is the same as before.
  fs.truncateSync(path, size);
  await memory.repair();
  memory.unmap();
  fs.rmSync(folder, { recursive: true });
`;

test.each([
  [
    'Semaphore',
    'new memmap.Semaphore(memory, { permits: 2 })',
    ['acquire()', 'tryAcquire()', 'acquireAsync()'],
  ],
  [
    'RwLock',
    'new memmap.RwLock(memory)',
    [
      'readLock()',
      'tryReadLock()',
      'readLockAsync()',
      'writeLock()',
      'tryWriteLock()',
      'writeLockAsync()',
    ],
  ],
  ['Latest', 'new memmap.Latest(memory, { size: 100 })', ['writer()', 'reader()']],
])('%s', async (_, make, acts) => {
  const result = await runChild(program(make, acts));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual(acts.map(() => 'ERR_MEMMAP_FAULT'));
});
