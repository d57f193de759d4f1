// A file that is cut short under a channel: each call says so by its error, once, and nothing is sent where nobody else sees it. Nobody
// listens for 'fault' here: what is thrown must not end the process as well.
import { expectClean, runChild } from '../helpers/child.js';

const program = (acts: readonly string[]): string => `
  const fs = require('node:fs');
  const { join } = require('node:path');
  const folder = fs.mkdtempSync(join(require('node:os').tmpdir(), 'memmap-'));
  const path = join(folder, 'memory');
  const size = 2 ** 17;
  const memory = memmap.mapFileSync(path, { access: 'read-write', create: true, size });
  const channel = new memmap.Channel(memory);
  const uncaught = [];
  process.on('uncaughtException', (error) => uncaught.push(error.code));
  const said = [];
  const say = async (act) => {
    try {
      await act();
      said.push('nothing');
    } catch (error) {
      said.push(error.code);
    }
  };
  const cut = () => fs.truncateSync(path, 0);
  ${acts.map((act) => `await say(async () => ${act});`).join('\n  ')}
  // Faults that nobody was told of are told in a turn of their own.
  for (let turn = 0; turn < 10; turn++) await new Promise((go) => setTimeout(go, 10));
  console.log(JSON.stringify({ said, uncaught }));
  fs.truncateSync(path, size);
  await memory.repair();
  memory.unmap();
  fs.rmSync(folder, { recursive: true });
`;

const FAULT = 'ERR_MEMMAP_FAULT';

test.each([
  ['trySend', ['cut()', 'channel.trySend(Buffer.of(1))', 'channel.detach()']],
  ['receiveSync', ['cut()', 'channel.receiveSync()', 'channel.detach()']],
  ['stats', ['cut()', 'channel.stats()', 'channel.detach()']],
  ['closed', ['cut()', 'channel.closed', 'channel.detach()']],
  ['close', ['cut()', 'channel.close()', 'channel.detach()']],
  // Who sleeps for it has not begun.
  [
    'a receive() that is about to wait',
    [
      'void [(globalThis.waiting = channel.receive()).catch(() => 0), await null, await null, cut()]',
      'waiting',
      'channel.detach()',
    ],
  ],
  ['a receive() that waits', ['void setTimeout(cut, 20)', 'channel.receive()', 'channel.detach()']],
])('%s', async (_, acts) => {
  const result = await runChild(program(acts));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual({ said: ['nothing', FAULT, 'nothing'], uncaught: [] });
});

test('detach, and nothing before it', async () => {
  const result = await runChild(program(['cut()', 'channel.detach()']));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual({ said: ['nothing', FAULT], uncaught: [] });
});

test('a new handle is refused: it would have the channel for itself', async () => {
  const acts = [
    'cut()',
    'channel.trySend(Buffer.of(1))',
    'new memmap.Channel(memory)',
    'channel.detach()',
    'new memmap.Channel(memory)',
  ];
  const result = await runChild(program(acts));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual({
    said: ['nothing', FAULT, FAULT, 'nothing', FAULT],
    uncaught: [],
  });
});

test('a handle that comes first is refused, too', async () => {
  const acts = ['channel.detach()', 'cut()', 'new memmap.Channel(memory)'];
  const result = await runChild(program(acts));
  expectClean(result);
  expect(JSON.parse(result.stdout)).toEqual({ said: ['nothing', 'nothing', FAULT], uncaught: [] });
});
