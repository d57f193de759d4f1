// unmap while crypto computes over a view, or fills it, in the thread pool.
import { survives } from './program';

// Each starts work on the Buffer and gives a promise. The costs make the work outlast the unmap.
const jobs: Record<string, string> = {
  pbkdf2: "(b) => promisify(crypto.pbkdf2)(b, b.subarray(0, 64), 20, 32, 'sha512')",
  scrypt: '(b) => promisify(crypto.scrypt)(b, b.subarray(0, 64), 32, { N: 1024 })',
  hkdf: "(b) => promisify(crypto.hkdf)('sha256', b, b.subarray(0, 16), '', 32)",
  sign: "(b) => promisify(crypto.sign)('sha256', b, privateKey)",
  verify: "(b) => promisify(crypto.verify)('sha256', b, publicKey, b.subarray(0, 256))",
  randomFill: '(b) => promisify(crypto.randomFill)(b)',
  'subtle.digest': "(b) => crypto.subtle.digest('SHA-512', b)",
  'subtle.sign': '(b) => crypto.subtle.sign("HMAC", hmac, b)',
  'subtle.encrypt':
    "(b) => crypto.subtle.encrypt({ name: 'AES-GCM', iv: b.subarray(0, 12) }, aes, b)",
};

const setUp = `
const crypto = require('node:crypto');
const { promisify } = require('node:util');
const { privateKey, publicKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 1024 });
const hmac = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-512' }, false, ['sign']);
const aes = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt']);
`;

for (const [name, job] of Object.entries(jobs)) {
  test(`${name}, unmapped at once, soon and late`, () =>
    survives(`
      ${setUp}
      const start = ${job};
      const path = scratch(64 * PAGE);
      for (let i = 0; i < 60; i++) {
        const m = memmap.mapFileSync(path, { access: 'copy-on-write' });
        const work = Promise.allSettled(Array.from({ length: 4 }, () => start(m.buffer)));
        for (let turns = 0; turns < i % 4; turns++) await turn();
        m.unmap();
        assert.equal(showsFile(path), false);
        for (const { status, reason } of await work) {
          if (status === 'rejected') assert.ok(reason instanceof Error || reason instanceof DOMException);
        }
      }
      assert.equal(isAll(fs.readFileSync(path), 97), true);
    `));
}

test("what randomFill still writes after unmap lands in nobody else's memory", () =>
  survives(`
    const crypto = require('node:crypto');
    for (let i = 0; i < 20; i++) {
      const m = memmap.mapAnonymous(256 * PAGE);
      const filled = Array.from({ length: 8 }, () => new Promise((resolve) => crypto.randomFill(m.buffer, resolve)));
      m.unmap();
      const others = Array.from({ length: 20 }, () => memmap.mapAnonymous(256 * PAGE));
      await Promise.all(filled);
      for (const other of others) {
        assert.equal(isAll(other.buffer, 0), true);
        other.unmap();
      }
    }
  `));

test('work on a large view goes on while thousands of other views are unmapped', () =>
  survives(`
    const crypto = require('node:crypto');
    const m = memmap.mapAnonymous(2 ** 28);
    const filled = new Promise((resolve) => crypto.randomFill(m.buffer, resolve));
    await turn();
    m.unmap();
    for (let i = 0; i < 5000; i++) {
      const other = memmap.mapAnonymous(PAGE);
      other.buffer[0] = 1;
      other.unmap();
    }
    assert.ifError(await filled);
  `));
