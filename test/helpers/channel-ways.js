'use strict';
// node channel-ways.js spawn|fork|cluster|worker: a process or thread started that way sends back what it is sent, and closes its channel
// when the other is closed. Prints how many came back as they went.
const childProcess = require('node:child_process');
const cluster = require('node:cluster');
const { Worker, isMainThread, workerData } = require('node:worker_threads');
const memmap = require('../../dist/index.js');

/** Blocking here, asynchronous there: both are tried. */
async function echo(there, back) {
  for await (const message of there) back.sendSync(message);
  back.close();
  there.detach();
  back.detach();
}

const way = process.argv[2];
const name = (suffix) => `memmap-test-${process.pid}-ways-${suffix}`;
const options = { capacity: 64 * 1024, lifetime: 'processes' };

const starts = {
  spawn(there, back) {
    const stdio = ['ignore', 'inherit', 'inherit', there.shared.fd, back.shared.fd];
    return childProcess.spawn(process.execPath, [__filename, 'spawned'], { stdio });
  },
  fork: (there, back) =>
    childProcess.fork(__filename, ['named', there.shared.name, back.shared.name]),
  cluster(there, back) {
    cluster.setupPrimary({
      exec: __filename,
      args: ['named', there.shared.name, back.shared.name],
    });
    return cluster.fork();
  },
  worker(there, back) {
    const names = [there.shared.name, back.shared.name];
    return new Worker(__filename, { workerData: names, argv: ['worker'] });
  },
};

async function main() {
  const isNamed = way !== 'spawn';
  const create = (suffix) =>
    isNamed
      ? memmap.Channel.create(name(suffix), options)
      : memmap.Channel.create(null, { capacity: options.capacity });
  const [there, back] = [create('there'), create('back')];
  const peer = starts[way](there, back);
  const ended = new Promise((resolve) =>
    peer.once('exit', (code, signal) => resolve(code ?? signal)),
  );
  let came = 0;
  const counting = (async () => {
    for await (const message of back) if (message.every((byte) => byte === (came & 0xff))) came++;
  })();
  for (let index = 0; index < 2000; index++) {
    await there.send(Buffer.alloc(((index * 37) % 30_000) | (index & 7), index & 0xff));
  }
  there.close();
  await counting;
  const end = await ended;
  if (isNamed) for (const channel of [there, back]) channel.shared.unlink();
  console.log(
    JSON.stringify({
      came,
      end,
      used: there.stats().used + back.stats().used,
      participants: there.stats().participants,
    }),
  );
  there.detach();
  back.detach();
}

if (!isMainThread) void echo(...workerData.map((each) => memmap.Channel.open(each)));
else if (way === 'spawned') {
  void echo(...[3, 4].map((fd) => new memmap.Channel(memmap.SharedMemory.fromFd(fd))));
} else if (way === 'named') {
  const [first, second] = process.argv.slice(3).map((each) => memmap.Channel.open(each));
  void echo(first, second).then(() => {
    if (cluster.isWorker) cluster.worker.disconnect();
    else process.disconnect();
  });
} else void main();
