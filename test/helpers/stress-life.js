// One life: random calls, and after each a look at what it should have done. What a page holds and allows, and which Buffers are
// attached, is kept in a model beside the package's own books.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { join } = require('node:path');
const { setImmediate: turn } = require('node:timers/promises');
const { FILE_PAGES, Piece } = require('./stress-piece.js');
const { map, unmap, verbs } = require('./stress-verbs.js');

/** Numbers that only the seed decides (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return { below, pick: (list) => list[below(list.length)], chance: (odds) => next() < odds };
}

/** Memory that somebody moved out of our reach must stay readable. */
const touch = (bytes) =>
  bytes.length === 0 ? 0 : bytes[0] + bytes[bytes.length >> 1] + bytes[bytes.length - 1];

class Life {
  pieces = [];
  /** Attached Buffers: the bytes, their ArrayBuffer, the address of the first of them. */
  views = [];
  /** Which addresses an ArrayBuffer shows. */
  shown = new WeakMap();
  escaped = [];

  constructor(memmap, seed, { folder, send }) {
    Object.assign(this, { memmap, send, ...random(seed), page: memmap.pageSize });
    this.path = join(folder, `stress-${String(seed)}`);
    this.file = Uint8Array.from({ length: FILE_PAGES }, (_, page) => page + 1);
    fs.writeFileSync(
      this.path,
      Buffer.concat([...this.file].map((byte) => Buffer.alloc(this.page, byte))),
    );
    this.fd = fs.openSync(this.path, 'r+');
  }

  async run(steps, report) {
    for (let step = 0; step < steps; step++) {
      const verb =
        this.pieces.length < 3 ? map : this.pieces.length > 24 ? unmap : this.pick(verbs);
      try {
        await verb(this);
        this.look();
        if (step % 16 === 0) this.lookAtAll();
      } catch (error) {
        error.message = `step ${String(step)}, ${verb.name}: ${error.message}`;
        throw error;
      }
      if (step % 8 === 0) await turn();
      if (this.chance(0.02)) globalThis.gc?.();
      report(step);
    }
    this.lookAtAll();
  }

  /** True when the call was made, false when it was refused with one of the codes. */
  may(codes, call) {
    try {
      call();
      return true;
    } catch (error) {
      if (codes.includes(error.code)) return false;
      throw error;
    }
  }

  bytes(pages) {
    return pages * this.page;
  }

  address(piece, page) {
    return piece.mapping.address + BigInt(this.bytes(page));
  }

  piece() {
    return this.pick(this.pieces);
  }

  /** A run of pages of a piece. */
  span({ count }) {
    const from = this.below(count);
    return { from, count: 1 + this.below(count - from) };
  }

  at(address) {
    return this.pieces.find(
      ({ start, count }) => start <= address && address < start + this.bytes(count),
    );
  }

  drop(piece) {
    this.pieces.splice(this.pieces.indexOf(piece), 1);
  }

  /** Pages of a piece are gone, with the Buffers over them; what is left of its mapping are its parts. */
  cut(piece, from, count) {
    this.mustBeDetached(piece, from, count);
    this.split(piece, from, count);
  }

  split(piece, from, count) {
    this.drop(piece);
    const rest = [piece.pages.slice(0, from), piece.pages.slice(from + count)].filter(
      ({ length }) => length > 0,
    );
    if (rest.length === 0) return;
    const { parts } = piece.mapping;
    assert.equal(parts.length, rest.length, 'parts');
    rest.forEach((pages, index) => this.pieces.push(new Piece(parts[index], piece.kind, pages)));
  }

  /** Pages of a piece that began at `before` are the piece `to` now; a whole mapping stays itself. */
  moved(piece, { from, count, before, to }) {
    this.mustBeDetachedAt(before + this.bytes(from), before + this.bytes(from + count));
    if (to.mapping === piece.mapping) this.drop(piece);
    else this.split(piece, from, count);
    this.pieces.push(to);
  }

  mustBeDetached({ start }, from, count) {
    this.mustBeDetachedAt(start + this.bytes(from), start + this.bytes(from + count));
  }

  mustBeDetachedAt(start, end) {
    this.views = this.views.filter(({ bytes, buffer }) => {
      const shown = this.shown.get(buffer);
      if (shown.end <= start || shown.start >= end) return true;
      assert.equal(bytes.length, 0, 'a Buffer over memory that is gone is still attached');
      assert.equal(bytes[0], undefined);
      return false;
    });
  }

  addView(bytes, start) {
    const { buffer } = bytes;
    const first = start - bytes.byteOffset;
    if (!this.shown.has(buffer))
      this.shown.set(buffer, { start: first, end: first + buffer.byteLength });
    if (this.views.length > 64) this.views.shift();
    this.views.push({ bytes, buffer, start });
  }

  /** One Buffer, one page, one ArrayBuffer that escaped. */
  look() {
    if (this.views.length > 0) this.lookAtView(this.pick(this.views));
    if (this.escaped.length > 0) touch(this.pick(this.escaped));
    const piece = this.piece();
    if (piece !== undefined) this.lookAtPage(piece, this.below(piece.count));
  }

  lookAtView({ bytes, start }) {
    assert.ok(bytes.length > 0, 'a Buffer over memory that is still there was detached');
    const offset = this.bytes(this.below(bytes.length / this.page));
    const piece = this.at(start + offset);
    assert.ok(piece, 'a Buffer over memory that is gone is still attached');
    const byte = piece.byte((start + offset - piece.start) / this.page);
    assert.deepEqual([bytes[offset], bytes[offset + this.page - 1]], [byte, byte], 'a Buffer');
  }

  lookAtPage(piece, page) {
    const readable = piece.readable(page, 1);
    const got = Buffer.alloc(this.page, 0xee);
    const read = this.may(readable ? [] : ['EFAULT'], () =>
      piece.mapping.read(this.bytes(page), got),
    );
    assert.equal(read, readable, 'read() of a page that cannot be read');
    const want = readable ? piece.byte(page) : 0xee;
    const same = got.equals(Buffer.alloc(this.page, want));
    assert.ok(
      same,
      `page ${String(page)} of a ${piece.kind} mapping has ${String(got[0])}, not ${String(want)}`,
    );
  }

  lookAtAll() {
    this.views.forEach((view) => this.lookAtView(view));
    this.escaped.forEach(touch);
    for (const piece of this.pieces) {
      assert.equal(piece.mapping.state, 'mapped');
      assert.equal(piece.mapping.length, this.bytes(piece.count));
      for (let page = 0; page < piece.count; page++) this.lookAtPage(piece, page);
    }
    const drifts = this.memmap.registry.verify();
    assert.deepEqual(
      drifts.map(({ kind, expected, found }) => ({ kind, expected, found })),
      [],
    );
  }
}

module.exports = { Life, random, touch };
