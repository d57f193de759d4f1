// Buffers far longer than memory: address space only, until somebody writes there.
import { survives, withGc } from './program';

test('from 4 GiB to 32 TiB: one Buffer, or an error that says why not', () =>
  survives(
    `
    const kept = [];
    for (const bits of [32, 33, 35, 36, 40, 45, 46, 47, 48, 52]) {
      const length = 2 ** bits;
      try {
        const m = memmap.mapAnonymous(length, { noReserve: true });
        kept.push(m);
        const tail = m.view(length - PAGE);
        tail[PAGE - 1] = 7;
        assert.equal(m.buffer.length, length);
        assert.equal(m.buffer[length - 1], 7);
      } catch (error) {
        // No room for it, or no Buffer so long.
        if (error.code !== 'ENOMEM') assert.deepEqual([error.code, /view/.test(error.hint)], ['ERR_MEMMAP_RANGE', true], error);
      }
    }
    assert.ok(kept.length >= 2);
    const small = Array.from({ length: 100_000 }, (_, i) => ({ i }));
    gc();
    assert.equal(small[99_999].i, 99_999);
    for (const m of kept) m.unmap();
    gc();
    await turn();
  `,
    withGc,
  ));

test('a hundred of 64 GiB, dropped', () =>
  survives(
    `
    const make = (i) => {
      const m = memmap.mapAnonymous(2 ** 36, { noReserve: true });
      m.view(2 ** 35, PAGE)[0] = 1;
      if (i % 2) m.view(0, 2 ** 32)[0] = 1;
    };
    for (let i = 0; i < 100; i++) make(i);
    await collectUntil(() => memmap.registry.mappings().length === 0, 'collected');
  `,
    withGc,
  ));
