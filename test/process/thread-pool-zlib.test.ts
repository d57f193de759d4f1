// zlib keeps a raw pointer to its input and output while it works in the thread pool. What it makes of an input that is
// detached meanwhile is Node's own: an exception from 22 on, an assertion on 20. A pin is the answer everywhere.
import { survives, testWhere } from './program';

const [major = 0] = process.versions.node.split('.').map(Number);

testWhere(major >= 22, 'zlib on Node 20 asserts by itself when its input is detached')(
  'unmapped while zlib reads it: no memory fault',
  () =>
    survives(`
      const zlib = require('node:zlib');
      let thrown = 0;
      process.on('uncaughtException', (error) => { thrown++; assert.ok(error instanceof Error); });
      const path = scratch(256 * PAGE);
      let settled = 0;
      for (let i = 0; i < 100; i++) {
        const m = memmap.mapFileSync(path);
        for (const pack of [zlib.gzip, zlib.deflateRaw, zlib.brotliCompress]) {
          pack(m.buffer, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }, () => settled++);
        }
        for (let turns = 0; turns < i % 4; turns++) await turn();
        m.unmap();
        assert.equal(showsFile(path), false);
        for (let turns = 0; turns < 10; turns++) await turn();
      }
      while (settled + thrown === 0) await turn();
    `),
);

test('pinned while zlib reads it: unmap is ERR_MEMMAP_BUSY, and the result is right', () =>
  survives(`
    const zlib = require('node:zlib');
    const { promisify } = require('node:util');
    const path = scratch(256 * PAGE);
    for (let i = 0; i < 30; i++) {
      const m = memmap.mapFileSync(path);
      const pin = m.pin();
      const packing = promisify(zlib.gzip)(m.buffer);
      for (let turns = 0; turns < i % 4; turns++) await turn();
      assert.throws(() => m.unmap(), { code: 'ERR_MEMMAP_BUSY' });
      assert.equal(m.buffer.length, 256 * PAGE);
      const packed = await packing;
      pin.release();
      m.unmap();
      assert.equal(showsFile(path), false);
      assert.equal(isAll(zlib.gunzipSync(packed), 97), true);
    }
  `));
