// What a life of test/helpers/stress-life.js does: each verb makes one call of the package and the same change to the model.
'use strict';

const assert = require('node:assert/strict');
const { randomFill } = require('node:crypto');
const { FILE_PAGES, Piece, filePages, zeros } = require('./stress-piece.js');

// An ArrayBuffer over it was transferred, or is just being collected.
const BUSY = ['ERR_MEMMAP_BUSY'];
// mremap of pages with several protections, or of ones that somebody may still be reading, by kernel.
const MIXED = ['EFAULT', 'EINVAL', ...BUSY];

const anonymous = (life) => {
  const { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } = life.memmap.constants;
  return { flags: MAP_ANONYMOUS | MAP_PRIVATE, fixed: MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED };
};
const READ_WRITE = 3;

function map(life) {
  const count = 1 + life.below(12);
  const kind = life.pick(['private', 'private', 'shared', 'file', 'cow']);
  if (kind === 'private' || kind === 'shared') {
    const mapping = life.memmap.mapAnonymous(life.bytes(count), { shared: kind === 'shared' });
    life.pieces.push(new Piece(mapping, kind, zeros(count)));
    return;
  }
  const at = life.below(FILE_PAGES / 2);
  const mapping = life.memmap.mapFileSync(life.chance(0.5) ? life.fd : life.path, {
    access: kind === 'file' ? 'read-write' : 'copy-on-write',
    offset: life.bytes(at),
    length: life.bytes(count),
  });
  life.pieces.push(new Piece(mapping, kind, filePages(life.file, at, count)));
}

function write(life) {
  const piece = life.piece();
  const page = life.below(piece.count);
  const byte = life.below(256);
  if (!piece.writable(page, 1)) {
    assert.equal(
      life.may(['ERR_MEMMAP_READ_ONLY'], () => piece.mapping.write(life.bytes(page), 'x')),
      false,
    );
    return;
  }
  if (life.chance(0.5) || !piece.readable()) {
    piece.mapping.write(life.bytes(page), Buffer.alloc(life.page, byte));
  } else {
    piece.mapping.view(life.bytes(page), life.page).fill(byte);
  }
  piece.fill(page, byte);
}

function view(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  const whole = life.chance(0.4);
  const bytes = () =>
    whole ? piece.mapping.buffer : piece.mapping.view(life.bytes(from), life.bytes(count));
  const readable = whole ? piece.readable() : piece.readable(from, count);
  let given;
  const done = life.may(readable ? [] : ['ERR_MEMMAP_UNSUPPORTED'], () => (given = bytes()));
  if (done) life.addView(given, piece.start + (whole ? 0 : life.bytes(from)));
}

function protect(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  const access = life.pick(['none', 'read', 'read-write', 'read-write']);
  const range = { offset: life.bytes(from), length: life.bytes(count) };
  if (!life.may(access === 'none' ? BUSY : [], () => piece.mapping.protect(access, range))) return;
  for (const page of piece.pages.slice(from, from + count)) page.access = access;
  if (access === 'none') life.mustBeDetached(piece, from, count);
}

function advise(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  const word = life.pick(['dontneed', 'random', 'willneed', 'normal']);
  piece.mapping.advise(word, { offset: life.bytes(from), length: life.bytes(count) });
  if (word !== 'dontneed') return;
  for (const page of piece.pages.slice(from, from + count)) {
    if (piece.kind === 'private') page.own = 0;
    if (piece.kind === 'cow') page.own = page.file === undefined ? 0 : undefined;
  }
}

function unmap(life) {
  const piece = life.piece();
  piece.mapping.unmap();
  life.cut(piece, 0, piece.count);
  assert.equal(piece.mapping.state, 'unmapped');
}

function munmap(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  life.memmap.sys.munmap(life.address(piece, from), life.bytes(count), { replace: piece.mapping });
  life.cut(piece, from, count);
}

/** MAP_FIXED over a part of a mapping, or of two that touch. */
function overlay(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  const next = life.at(piece.start + life.bytes(piece.count));
  const over = next !== undefined && from + count === piece.count ? 1 + life.below(next.count) : 0;
  const access = life.pick(['none', 'read-write', 'read-write']);
  const pages = zeros(count + over).map((page) => ({ ...page, access }));
  const start = life.address(piece, from);
  const names = { replace: over > 0 ? [piece.mapping, next.mapping] : piece.mapping };
  const protection = access === 'none' ? 0 : READ_WRITE;
  let mapping;
  const call = () =>
    (mapping = life.memmap.sys.mmap(
      start,
      life.bytes(count + over),
      protection,
      anonymous(life).fixed,
      -1,
      0,
      names,
    ));
  if (!life.may(access === 'none' ? BUSY : [], call)) return;
  life.cut(piece, from, count);
  if (over > 0) life.cut(next, 0, over);
  life.pieces.push(new Piece(mapping, 'private', pages));
}

/** New contents below the same Buffers. */
function replace(life) {
  const piece = life.piece();
  if (piece.count > FILE_PAGES) return;
  const at = life.below(FILE_PAGES - piece.count + 1);
  const kind = life.pick(['private', 'file', 'cow']);
  const length = life.bytes(piece.count);
  const access = kind === 'cow' ? 'copy-on-write' : 'read-write';
  const source =
    kind === 'private'
      ? { anonymous: length, access }
      : { file: life.path, offset: life.bytes(at), length, access };
  piece.mapping.replace(source);
  piece.kind = kind;
  piece.pages = kind === 'private' ? zeros(piece.count) : filePages(life.file, at, piece.count);
}

/** Pages that follow the last one when a mapping grows; undefined where it cannot. */
function grown(life, piece, more) {
  const { access, at } = piece.pages[piece.count - 1];
  if (piece.kind === 'private') return zeros(more).map((page) => ({ ...page, access }));
  if (piece.kind === 'shared' || at === undefined || at + more >= FILE_PAGES) return undefined;
  // Parts that were moved about show the file in pieces; only what shows one run of it grows as the file does.
  const whole = piece.pages.every((page, index) => page.at === piece.pages[0].at + index);
  return whole
    ? filePages(life.file, at + 1, more).map((page) => ({ ...page, access }))
    : undefined;
}

function resize(life) {
  const piece = life.piece();
  const { count } = piece;
  const target = 1 + life.below(2 * count + 4);
  const more = target > count ? grown(life, piece, target - count) : [];
  if (more === undefined) return;
  const start = piece.start;
  if (!life.may(MIXED, () => piece.mapping.resize(life.bytes(target)))) return;
  life.mustBeDetachedAt(start, start + life.bytes(count));
  piece.pages = [...piece.pages.slice(0, target), ...more];
}

/** sys.mremap of some pages to wherever the kernel likes, maybe more of them. */
function move(life) {
  const piece = life.piece();
  const { from, count } = life.span(piece);
  const last = from + count === piece.count;
  const more = last ? grown(life, piece, life.below(6)) : [];
  if (more === undefined) return;
  const pages = [...piece.pages.slice(from, from + count), ...more];
  const { MREMAP_MAYMOVE } = life.memmap.constants;
  const [start, before] = [life.address(piece, from), piece.start];
  let mapping;
  const call = () =>
    (mapping = life.memmap.sys.mremap(
      start,
      life.bytes(count),
      life.bytes(pages.length),
      MREMAP_MAYMOVE,
    ));
  if (!life.may(MIXED, call)) return;
  life.moved(piece, { from, count, before, to: new Piece(mapping, piece.kind, pages) });
}

/** sys.mremap of some pages over those of another mapping. */
function moveOver(life) {
  const [piece, victim] = [life.piece(), life.piece()];
  if (piece === victim) return;
  const count = 1 + life.below(Math.min(piece.count, victim.count));
  const from = life.below(piece.count - count + 1);
  const target = life.below(victim.count - count + 1);
  const { MREMAP_FIXED, MREMAP_MAYMOVE } = life.memmap.constants;
  const [start, before, bytes] = [life.address(piece, from), piece.start, life.bytes(count)];
  let mapping;
  const call = () =>
    (mapping = life.memmap.sys.mremap(
      start,
      bytes,
      bytes,
      MREMAP_MAYMOVE | MREMAP_FIXED,
      life.address(victim, target),
      {
        replace: victim.mapping,
      },
    ));
  if (!life.may(MIXED, call)) return;
  life.cut(victim, target, count);
  const pages = piece.pages.slice(from, from + count);
  life.moved(piece, { from, count, before, to: new Piece(mapping, piece.kind, pages) });
}

/** MREMAP_DONTUNMAP: the pages move, zeros stay. */
function leave(life) {
  const piece = life.piece();
  if (piece.kind !== 'private') return;
  const { from, count } = life.span(piece);
  const { MREMAP_DONTUNMAP, MREMAP_MAYMOVE } = life.memmap.constants;
  const bytes = life.bytes(count);
  let mapping;
  const call = () =>
    (mapping = life.memmap.sys.mremap(
      life.address(piece, from),
      bytes,
      bytes,
      MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
    ));
  if (!life.may(MIXED, call)) return;
  const pages = piece.pages.slice(from, from + count);
  life.pieces.push(
    new Piece(
      mapping,
      'private',
      pages.map((page) => ({ ...page })),
    ),
  );
  for (const page of pages) page.own = 0;
}

/** Somebody moves the memory to an ArrayBuffer that the package does not know; maybe to another thread. */
async function escape(life) {
  const piece = life.piece();
  if (!piece.readable()) return;
  const { buffer } = piece.mapping.buffer;
  life.views = life.views.filter((each) => each.buffer !== buffer);
  const bytes = await transferred(buffer);
  if (life.chance(0.5)) life.send(bytes.buffer);
  else life.escaped.push(bytes);
}

/** Without ArrayBuffer.prototype.transfer (Node 20) byte streams move the memory all the same. */
async function transferred(buffer) {
  if ('transfer' in buffer) return new Uint8Array(buffer.transfer());
  const bytes = new Uint8Array(buffer);
  const stream = new ReadableStream({
    type: 'bytes',
    start: (controller) => controller.enqueue(bytes),
  });
  return (await stream.getReader().read()).value;
}

/** Leaves a mapping, or a transferred buffer, to the collector. */
function forget(life) {
  if (life.chance(0.3)) life.escaped.splice(life.below(life.escaped.length), 1);
  const piece = life.piece();
  const [start, end] = [piece.start, piece.start + life.bytes(piece.count)];
  life.views = life.views.filter(
    (each) => each.start + each.bytes.length <= start || each.start >= end,
  );
  life.drop(piece);
}

/** What a call on the thread pool works on stays where it is. */
async function busy(life) {
  const piece = life.piece();
  const { mapping } = piece;
  const calls = [() => mapping.flush()];
  if (piece.readable()) calls.push(() => mapping.readAsync(0, 1));
  if (piece.writable()) calls.push(() => writeFirst(life, piece));
  const working = life.pick(calls)();
  const refused = [
    () => mapping.unmap(),
    () => mapping.resize(life.page),
    () => mapping.replace({ anonymous: life.bytes(piece.count), access: 'read' }),
    () => life.memmap.sys.munmap(mapping.address, life.page, { replace: mapping }),
  ];
  for (const call of refused)
    assert.equal(life.may(BUSY, call), false, 'pulled away under the thread pool');
  await working;
}

function writeFirst(life, piece) {
  const byte = life.below(256);
  piece.fill(0, byte);
  return piece.mapping.writeAsync(0, Buffer.alloc(life.page, byte));
}

/** Node's own thread pool writes into a Buffer while its memory goes, in one of the ways memory can go. */
async function pool(life) {
  const length = life.bytes(256);
  const mapping = life.memmap.mapAnonymous(length);
  const filled = new Promise((done) => randomFill(mapping.buffer, done));
  const { flags, fixed } = anonymous(life);
  const { sys, constants } = life.memmap;
  const ways = {
    unmap: () => mapping.unmap(),
    overlay: () =>
      sys.mmap(mapping.address, length, READ_WRITE, fixed, -1, 0, { replace: mapping }).unmap(),
    move: () => sys.mremap(mapping.address, length, 2 * length, constants.MREMAP_MAYMOVE).unmap(),
    over: () => {
      const other = sys.mmap(0, length, READ_WRITE, flags, -1, 0);
      const how = constants.MREMAP_MAYMOVE | constants.MREMAP_FIXED;
      sys.mremap(other.address, length, length, how, mapping.address, { replace: mapping }).unmap();
    },
    resize: () => {
      mapping.resize(2 * length);
      mapping.unmap();
    },
  };
  ways[life.pick(Object.keys(ways))]();
  await filled;
}

function lock(life) {
  const piece = life.piece();
  // Locking a page that is copied on write copies it: the model would have to know how far it came.
  if (!piece.writable() || piece.kind === 'cow') return;
  const { from, count } = life.span(piece);
  const range = { offset: life.bytes(from), length: life.bytes(count) };
  if (!life.may(['ENOMEM', 'EPERM', 'EAGAIN'], () => piece.mapping.lock(range))) return;
  piece.mapping.unlock(range);
}

/** How often each is called. */
const weights = [
  [map, 10],
  [write, 14],
  [view, 14],
  [protect, 8],
  [advise, 4],
  [unmap, 5],
  [munmap, 5],
  [overlay, 6],
  [replace, 4],
  [resize, 5],
  [move, 5],
  [moveOver, 5],
  [leave, 2],
  [escape, 3],
  [forget, 4],
  [busy, 3],
  [pool, 2],
  [lock, 2],
];

module.exports = {
  map,
  unmap,
  verbs: weights.flatMap(([verb, weight]) => Array(weight).fill(verb)),
};
