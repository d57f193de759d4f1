// node bench/far.mjs WIRE ARGUMENT: the other end of a wire, in a process of its own. It does what it is
// told, { call, count, size }, and says when it is ready for it and when it is done.
const [name, argument] = process.argv.slice(2);
const wire = await import(`./wires/${name}.mjs`);
const end = await wire.far(JSON.parse(argument));
const say = (what) => new Promise((resolve) => process.send(what, resolve));

process.on('disconnect', () => process.exit());
process.on('message', async ({ call, count, size }) => {
  if (call === undefined) return; // a message of process.send's own wire
  // Where the work waits for its messages in a loop, nothing is said in the meantime.
  await say({ ready: true });
  await say({ done: true, answer: await end[call](count, size) });
});
await say({ done: true });
