import { join } from 'node:path';
import { expectClean, runChild } from '../helpers/child.js';

const entry = JSON.stringify(join(__dirname, '..', '..', 'dist', 'index.js'));

/** Starts a process that has the channel as `channel`, and waits until it has said 'ready'. */
const PRELUDE = `
  const assert = require('node:assert');
  const { once } = require('node:events');
  const { spawn } = require('node:child_process');
  const { setTimeout: sleep } = require('node:timers/promises');
  const channel = memmap.Channel.create(null, { capacity: 64 * 1024 });
  const begin = async (source) => {
    const program = \`
      const memmap = require(${entry});
      const channel = new memmap.Channel(memmap.SharedMemory.fromFd(3));
      (async () => {\${source}; process.stdout.write('ready'); setInterval(() => 0, 1000); })();\`;
    const stdio = ['ignore', 'pipe', 'inherit', channel.shared.fd];
    const child = spawn(process.execPath, ['-e', program], { stdio });
    process.once('exit', () => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    return child;
  };
  const end = async (child, signal) => { child.kill(signal); await once(child, 'exit'); };
`;

const run = async (source: string): Promise<void> => {
  expectClean(await runChild(PRELUDE + source, { timeout: 40_000 }));
};

it('a message that a killed receiver held is received by another, by one that waits and by one that asks', async () => {
  await run(`
    for (const how of ['receive', 'receiveSync', 'peek', 'tryReceive']) {
      channel.sendSync(Buffer.from(how));
      const holder = await begin('globalThis.held = channel.peekSync()');
      assert.equal(channel.tryReceive(), undefined);
      const waiting = how === 'receive' || how === 'peek' ? channel[how]() : undefined;
      await end(holder, 'SIGKILL');
      let got = waiting === undefined && how === 'receiveSync' ? channel.receiveSync() : await waiting;
      while (got === undefined) { await sleep(5); got = channel.tryReceive(); }
      assert.equal(String(got.buffer instanceof ArrayBuffer ? got : got.buffer), how);
      got.release?.();
    }
    assert.equal(channel.stats().redelivered, 4);
    assert.equal(channel.stats().used, 0);
    channel.detach();
  `);
});

it('what a killed sender was writing is nobody’s, and what it had sent before is received', async () => {
  await run(`
    const sender = await begin("channel.sendSync(Buffer.from('sent')); globalThis.draft = channel.reserveSync(60_000)");
    assert.equal(channel.trySend(Buffer.alloc(10_000)), false);
    const waiting = channel.send(Buffer.alloc(60_000, 3));
    await end(sender, 'SIGKILL');
    assert.equal(String(await channel.receive()), 'sent');
    await waiting;
    assert.equal((await channel.receive()).length, 60_000);
    assert.equal(channel.stats().abandoned, 1);
    assert.equal(channel.stats().participants, 1);
    channel.detach();
  `);
});

it('a stopped process that holds a place in the ring is in nobody’s way', async () => {
  await run(`
    const sender = await begin("globalThis.draft = channel.reserveSync(100)");
    sender.kill('SIGSTOP');
    const holder = await begin("channel.sendSync(Buffer.from('x')); globalThis.held = channel.peekSync()");
    holder.kill('SIGSTOP');
    for (let index = 0; index < 400; index++) {
      await channel.send(Buffer.alloc(100, index));
      assert.equal((await channel.receive())[0], index & 255);
    }
    await end(sender, 'SIGKILL');
    await end(holder, 'SIGKILL');
    assert.equal(String(await channel.receive()), 'x');
    channel.detach();
  `);
});

it('a lock that a stopped process holds is an error in the end, and never a block of the loop', async () => {
  await run(`
    const stopped = await begin('channel.sendSync(Buffer.of(1))');
    stopped.kill('SIGSTOP');
    const words = new Int32Array(channel.mapping.buffer.buffer, channel.mapping.buffer.byteOffset, 1000);
    const tag = (words[(768 + 64 + 40) / 4] << 7) | 1;
    // The send lock, as the stopped one would hold it.
    words[33] = (1 << 30) | tag;
    assert.equal(channel.trySend(Buffer.of(1)), false);
    assert.throws(() => channel.sendSync(Buffer.of(1), { timeout: 50 }), { code: 'ERR_MEMMAP_TIMEOUT' });
    let turns = 0;
    const ticking = setInterval(() => turns++, 10);
    await assert.rejects(channel.send(Buffer.of(1)), { code: 'ERR_MEMMAP_TIMEOUT', message: new RegExp(stopped.pid) });
    clearInterval(ticking);
    assert(turns > 50, String(turns));
    assert.equal((await channel.receive())[0], 1);
    const waiting = channel.send(Buffer.of(2));
    await end(stopped, 'SIGKILL');
    await waiting;
    assert.equal((await channel.receive())[0], 2);
    channel.detach();
  `);
});

it('a worker that is terminated in the middle leaves the channel to the others', async () => {
  await run(`
    const { Worker } = require('node:worker_threads');
    for (let round = 0; round < 6; round++) {
      const source = \`
        const memmap = require(${entry});
        const { workerData } = require('node:worker_threads');
        const channel = new memmap.Channel(memmap.SharedMemory.fromFd(workerData));
        require('node:worker_threads').parentPort.postMessage('ready');
        for (;;) { channel.sendSync(Buffer.alloc(200, 1)); const held = channel.peekSync(); held.release(); }\`;
      const workers = [0, 1].map(() => new Worker(source, { eval: true, workerData: channel.shared.fd }));
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      await sleep(20 * round);
      await Promise.all(workers.map((worker) => worker.terminate()));
      // Each may have left one that it had sent and not taken.
      let left = 0;
      while (channel.tryReceive() !== undefined) left++;
      channel.sendSync(Buffer.from('next'));
      const next = channel.receiveSync();
      assert.equal(String(next).replace(/\\x01/g, ''), next.length === 200 ? '' : 'next');
      while (channel.stats().messages > 0) channel.receiveSync();
    }
    assert.equal(channel.stats().participants, 1);
    channel.detach();
  `);
});

it('memory that is cut short under a channel is an error', async () => {
  await run(`
    const fs = require('node:fs');
    const name = 'memmap-test-' + process.pid + '-channel-cut';
    for (const left of [0, 16 * 1024]) {
      const cut = memmap.Channel.create(name, { capacity: 64 * 1024, lifetime: 'processes' });
      cut.mapping.on('fault', () => undefined);
      cut.shared.unlink();
      for (let index = 0; index < 30; index++) cut.sendSync(Buffer.alloc(1000, 1));
      fs.ftruncateSync(cut.shared.fd, left);
      let error;
      try {
        for (let index = 0; index < 100; index++) {
          cut.trySend(Buffer.alloc(3000, 1));
          cut.tryReceive();
        }
      } catch (thrown) { error = thrown; }
      assert(['ERR_MEMMAP_FAULT', 'ERR_MEMMAP_CORRUPT'].includes(error?.code), String(error));
      await assert.rejects(cut.receive(), (again) => again === error);
      await assert.rejects(cut.send(Buffer.of(1)), (again) => again === error);
      try { cut.detach(); } catch (thrown) { assert.equal(thrown.code, 'ERR_MEMMAP_CORRUPT'); }
    }
  `);
});

it('a receiver that waits keeps the process alive, or does not', async () => {
  for (const [source, code] of [
    ['channel.unref(); channel.receive().then(() => process.exit(3), () => process.exit(4));', 0],
    ['channel.unref().ref(); channel.receive({ timeout: 300 }).catch(() => process.exit(5));', 5],
  ] as const) {
    const result = await runChild(
      `const channel = memmap.Channel.create(null, { capacity: 1024 }); ${source}`,
    );
    expect([result.code, result.signal]).toEqual([code, null]);
  }
});

it('a handle that nobody can reach leaves', async () => {
  await run(`
    require('node:v8').setFlagsFromString('--expose-gc');
    const gc = require('node:vm').runInNewContext('gc');
    channel.sendSync(Buffer.from('held by one that was dropped'));
    (() => { new memmap.Channel(channel.shared).tryPeek(); })();
    assert.equal(channel.stats().participants, 2);
    for (let index = 0; index < 100 && channel.stats().participants > 1; index++) { gc(); await sleep(10); }
    assert.equal(channel.stats().participants, 1);
    assert.equal(String(await channel.receive()), 'held by one that was dropped');
    channel.detach();
  `);
});
