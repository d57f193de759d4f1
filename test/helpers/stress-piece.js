// What one mapping should look like, page by page. Every page of memory is all of one byte.
'use strict';

/** Pages of the file that the pieces show. Mappings begin in the first half, so that they can grow. */
const FILE_PAGES = 48;

class Piece {
  /** kind: 'private', 'shared' (both anonymous), 'file' (shared and writable) or 'cow'. A page: { own, access, file, at }. */
  constructor(mapping, kind, pages) {
    Object.assign(this, { mapping, kind, pages });
  }

  get start() {
    return Number(this.mapping.address);
  }

  get count() {
    return this.pages.length;
  }

  /** The page's byte: its own, or the file's. */
  byte(page) {
    const { own, file, at } = this.pages[page];
    return own ?? file[at];
  }

  fill(page, byte) {
    const shown = this.pages[page];
    if (this.kind === 'file') shown.file[shown.at] = byte;
    else shown.own = byte;
  }

  writable(from = 0, count = this.count) {
    return this.pages.slice(from, from + count).every(({ access }) => access === 'read-write');
  }

  readable(from = 0, count = this.count) {
    return this.pages.slice(from, from + count).every(({ access }) => access !== 'none');
  }
}

/** Zeroed pages of memory that no file is behind. */
const zeros = (count) => Array.from({ length: count }, () => ({ own: 0, access: 'read-write' }));

const filePages = (file, at, count) =>
  Array.from({ length: count }, (_, page) => ({ file, at: at + page, access: 'read-write' }));

module.exports = { FILE_PAGES, Piece, filePages, zeros };
