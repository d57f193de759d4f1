// More live mappings than the kernel allows: a clear ENOMEM, and everything that was mapped before goes on.
import { itLong } from '../helpers/amount';
import { survives, withGc } from './program';

for (const [kind, make] of Object.entries({
  'without views': 'memmap.mapAnonymous(PAGE, { shared: true })',
  'with views':
    '(() => { const m = memmap.mapAnonymous(PAGE, { shared: true }); m.buffer[0] = 7; return m; })()',
})) {
  const one = kind === 'with views' ? test : itLong;
  one(`70,000 live mappings, ${kind}`, () =>
    survives(
      `
      const limit = Number(fs.readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
      const wanted = limit + 4470;
      const live = [];
      let refusal;
      try {
        while (live.length < wanted) live.push(${make});
      } catch (error) {
        refusal = error;
      }
      assert.equal(refusal?.name, 'MapError');
      assert.equal(refusal.code, 'ENOMEM');
      assert.equal(refusal.syscall, 'mmap');
      assert.match(refusal.message, /vm\\.max_map_count/);
      assert.ok(live.length > limit / 2 && live.length < limit, String(live.length));
      // Again, and again the same.
      assert.throws(() => memmap.mapAnonymous(PAGE, { shared: true }), { code: 'ENOMEM' });
      await assert.rejects(memmap.mapFile(process.execPath), { code: 'ENOMEM' });
      // V8, malloc and a new thread still get theirs.
      const arrays = Array.from({ length: 200 }, (_, i) => new Array(20_000).fill(i));
      assert.equal(arrays[199][0], 199);
      assert.equal(Buffer.alloc(2 ** 26, 1)[2 ** 26 - 1], 1);
      const worker = new Worker('require("node:worker_threads").parentPort.postMessage(1)', { eval: true });
      await once(worker, 'message');
      assert.equal(live.every((m) => m.state === 'mapped'), true);
      live[0].write(0, 'x');
      assert.equal(live[0].read(0, 1).toString(), 'x');
      for (const m of live) m.unmap();
      assert.equal(memmap.registry.mappings().length, 0);
      const after = Array.from({ length: 1000 }, () => memmap.mapAnonymous(PAGE, { shared: true }));
      assert.equal(after.every((m) => m.buffer[0] === 0), true);
    `,
      { ...withGc, timeout: 55_000 },
    ),
  );
}
