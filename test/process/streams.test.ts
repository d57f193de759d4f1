// Byte streams move the memory of what they are given to an ArrayBuffer of their own, like transfer(), on every Node.
import { survives, withGc } from './program';

const moves: Record<string, string> = {
  enqueue: `async (view) => {
    const stream = new ReadableStream({ type: 'bytes', start(controller) { controller.enqueue(view); } });
    return (await stream.getReader().read()).value;
  }`,
  'read into (BYOB)': `async (view) => {
    const stream = new ReadableStream({ type: 'bytes', pull(controller) {
      controller.byobRequest.view.fill(97);
      controller.byobRequest.respond(controller.byobRequest.view.byteLength);
    } });
    return (await stream.getReader({ mode: 'byob' }).read(view)).value;
  }`,
  respondWithNewView: `async (view) => {
    let given = view;
    const stream = new ReadableStream({ type: 'bytes', pull(controller) { controller.byobRequest.respondWithNewView(given); } });
    return (await stream.getReader({ mode: 'byob' }).read(new Uint8Array(view.byteLength))).value;
  }`,
};

for (const [name, move] of Object.entries(moves)) {
  const moved = (before: string) => `
    const move = ${move};
    const path = scratch(4 * PAGE);
    ${before}
    let m = memmap.mapFileSync(path, { access: 'copy-on-write' });
    let bytes;
    try {
      bytes = await move(new Uint8Array(m.buffer.buffer));
    } catch (error) {
      assert.ok(error instanceof TypeError || error instanceof RangeError, error);
    }
    // Where this Node copies or refuses instead, there is nothing to lose.
    bytes ??= new Uint8Array(4 * PAGE).fill(97);
  `;

  test(`${name}, then unmap, then use`, () =>
    survives(`
      ${moved('')}
      assert.equal(bytes.length, 4 * PAGE);
      m.unmap();
      assert.equal(showsFile(path), false);
      for (let i = 0; i < bytes.length; i++) bytes[i] += 1;
      assert.equal(isAll(fs.readFileSync(path), 97), true);
    `));

  test(`${name}, then drop the mapping, then use`, () =>
    survives(
      `
      ${moved('')}
      m = undefined;
      for (let round = 0; round < 20; round++) {
        gc();
        await turn();
        assert.equal(bytes[round], 97);
      }
    `,
      withGc,
    ));

  test(`${name}, then make the pages unreadable, then use`, () =>
    survives(`
      ${moved('')}
      for (const call of [
        () => m.protect('none'),
        () => memmap.sys.madvise(m.address, PAGE, memmap.constants.MADV_GUARD_INSTALL ?? 0),
      ]) {
        try {
          call();
        } catch (error) {
          assert.match(error.code, /^(ERR_MEMMAP_BUSY|EINVAL)$/);
        }
        assert.equal(bytes[0], 97);
      }
    `));
}
