// worker.terminate() stops a thread at any moment: every Node-API call that it is about to make fails from then on.
import { survives } from './program';

const busy: Record<string, string> = {
  'mapping and unmapping': 'const m = memmap.mapAnonymous(8192); m.buffer[0] = 1; m.unmap();',
  'asking the registry':
    'globalThis.m ??= memmap.mapAnonymous(8192); memmap.registry.verify(); m.residency();',
  'starting work on the thread pool':
    'globalThis.m ??= memmap.mapAnonymous(8192); m.flush().catch(() => {}); m.readAsync(0, 10).catch(() => {});',
  failing:
    'try { memmap.mapFileSync("/nowhere"); } catch {} try { memmap.mapAnonymous(8192).view(9000); } catch {}',
  dropping: 'memmap.mapFileSync(process.execPath).view(0, 10)[0];',
  'resizing and replacing':
    'const m = memmap.mapAnonymous(8192); m.buffer; m.resize(100); m.replace({ anonymous: 100 }); m.unmap();',
  'raw calls':
    'const m = memmap.mapAnonymous(8192); memmap.sys.mincore(m.address, 8192); memmap.sys.munmap(m.address, 4096, { replace: m });',
};

for (const [what, source] of Object.entries(busy)) {
  test(what, () =>
    survives(`
      const round = async () => {
        const count = new Int32Array(new SharedArrayBuffer(4));
        const worker = startWorker(\`for (;;) { ${source.replaceAll('`', '\\`')} Atomics.add(workerData, 0, 1); }\`, count);
        // Some hundred laps and then wherever it is.
        while (Atomics.load(count, 0) < 100) await turn();
        assert.equal(await worker.terminate(), 1);
      };
      for (let i = 0; i < 8; i++) await Promise.all([round(), round(), round()]);
      memmap.mapAnonymous(PAGE).buffer.fill(1);
      assert.deepEqual(memmap.registry.verify(), []);
    `),
  );
}
