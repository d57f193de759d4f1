// A file that is cut short under a Latest: whoever reads, writes or waits there is told by an error, and is never given zeros.
import { expectClean, runChild } from '../helpers/child.js';

const program = (act: string, when: 'before' | 'meanwhile'): string => `
  const fs = require('node:fs');
  const { join } = require('node:path');
  const folder = fs.mkdtempSync(join(require('node:os').tmpdir(), 'memmap-'));
  const path = join(folder, 'memory');
  const size = 2 ** 16;
  const memory = memmap.mapFileSync(path, { access: 'read-write', create: true, size });
  const latest = new memmap.Latest(memory, { size: 100 });
  const writer = latest.writer();
  const reader = latest.reader();
  writer.write('first');
  if (String(reader.read()) !== 'first') throw new Error('not there');
  memory.on('fault', () => {});
  const cut = () => fs.truncateSync(path, 0);
  const said = [];
  const say = async (act) => {
    try {
      await act();
      said.push('nothing');
    } catch (error) {
      said.push(error.code, error instanceof memmap.FaultError);
    }
  };
  if ('${when}' === 'before') {
    cut();
    await say(() => ${act});
  } else {
    const waiting = say(() => ${act});
    await null;
    cut();
    await waiting;
    const again = say(() => ${act});
    await again;
  }
  console.log(JSON.stringify(said));
  fs.rmSync(folder, { recursive: true });
  // The locks of both go with the process.
`;

const FAULT = ['ERR_MEMMAP_FAULT', true];

test.each([
  'reader.read()',
  'reader.readInto(Buffer.alloc(100))',
  'reader.view()',
  'reader.changed',
  'reader.next()',
  'reader.wait()',
  'reader.waitSync()',
  'reader[Symbol.asyncIterator]().next()',
  "writer.write('second')",
  '(writer.reserve(), writer.publish())',
  'latest.reader()',
])('%s of what was cut', async (act) => {
  const result = await runChild(program(act, 'before'));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual(FAULT);
});

test.each(['reader.next()', 'reader.wait()', 'reader[Symbol.asyncIterator]().next()'])(
  '%s of what is cut while it waits',
  async (act) => {
    const result = await runChild(program(act, 'meanwhile'));
    expectClean(result);
    expect(JSON.parse(result.stdout)).toEqual([...FAULT, ...FAULT]);
  },
);
