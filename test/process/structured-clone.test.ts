// structuredClone and postMessage with a view in the transfer list: refused or copied, never moved.
import { survives } from './program';

const ways = {
  structuredClone: '(buffer) => structuredClone(buffer, { transfer: [buffer] })',
  postMessage: `(buffer) => {
    const { port1, port2 } = new (require('node:worker_threads').MessageChannel)();
    try {
      port1.postMessage(buffer, [buffer]);
      return require('node:worker_threads').receiveMessageOnPort(port2).message;
    } finally {
      port1.close();
    }
  }`,
};

for (const [name, way] of Object.entries(ways)) {
  test(`${name} with transfer, then unmap, then use`, () =>
    survives(`
      const path = scratch(3 * PAGE);
      const m = memmap.mapFileSync(path, { access: 'read-write' });
      const { buffer } = m;
      let copy;
      try {
        copy = new Uint8Array((${way})(buffer.buffer));
      } catch (error) {
        assert.equal(error.name, 'DataCloneError');
        console.log('refused');
      }
      assert.equal(buffer[0], 97);
      if (copy !== undefined) {
        assert.equal(isAll(copy, 97), true);
        copy.fill(98);
        assert.equal(buffer[0], 97);
      }
      m.unmap();
      assert.equal(buffer.length, 0);
      assert.equal(showsFile(path), false);
      if (copy !== undefined) assert.equal(isAll(copy, 98), true);
    `));
}

test('a clone without transfer is a copy', () =>
  survives(`
    const m = memmap.mapAnonymous(PAGE);
    m.buffer.fill(1);
    const copy = structuredClone(m.buffer);
    m.unmap();
    assert.equal(isAll(copy, 1), true);
  `));
