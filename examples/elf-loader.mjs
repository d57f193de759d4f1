// Lays out a shared object as the dynamic loader does, and compares the two: node examples/elf-loader.mjs [FILE...]
// FILE is libc and the node binary, or anything else that this process has loaded. Linux only. The
// headers are read by the package elfy: npm install elfy
//
//   file:     | r-- headers, names | r-x code | r-- constants | rw- data |
//   memory:   | r--                | r-x      | r--           | rw-    0 | rw- zeroed |    one reservation
//                                                                    `---- the rest of a page, zeroed
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import elfy from 'elfy';
import { addressSpace, mapFileSync, pageSize, reserve } from 'memmap';

const down = (value) => value - (value % pageSize);
const up = (value) => down(value + pageSize - 1);
const hex = (value) => `0x${value.toString(16)}`;

const PROTECTIONS = { 'r--': 'read', 'r-x': 'read-execute', 'rw-': 'read-write' };

/** What the file asks for. Addresses count from the start of the image. */
function planOf(path) {
  const file = mapFileSync(path);
  const { length } = file;
  const elf = elfy.parse(file.buffer);
  file.unmap();
  if (elf.class !== '64' || elf.endian !== 'lsb') throw new Error(`${path} is of another kind`);

  const loads = elf.body.programs.filter(({ type }) => type === 'load');
  const base = down(loads[0].vaddr);
  const segments = loads.map(({ vaddr, offset, filesz, memsz, flags }) => {
    const start = vaddr - base;
    return {
      offset: down(start),
      fileOffset: down(offset),
      // To the end of its last page, as far as the file goes. Pages begin together in both.
      fileLength: Math.min(up(offset + filesz), length) - down(offset),
      dataEnd: start + filesz,
      zeroEnd: start + memsz,
      protection: `${flags.r ? 'r' : '-'}${flags.w ? 'w' : '-'}${flags.x ? 'x' : '-'}`,
    };
  });
  const alignment = Math.max(pageSize, ...loads.map(({ align }) => align));
  return { path, alignment, segments, span: up(segments.at(-1).zeroEnd) };
}

/** Reserves the whole image, then puts every segment where it belongs in it. */
function load({ path, alignment, segments, span }) {
  const image = reserve(span, { alignment });
  for (const { offset, fileOffset, fileLength, dataEnd, zeroEnd, protection } of segments) {
    const isWritable = protection === 'rw-';
    const mapping = image.place(offset, {
      file: path,
      offset: fileOffset,
      length: fileLength,
      access: isWritable ? 'copy-on-write' : 'read',
    });
    if (!isWritable) {
      mapping.protect(PROTECTIONS[protection]);
      continue;
    }
    const within = dataEnd - offset;
    if (fileLength > within) mapping.write(within, Buffer.alloc(fileLength - within));
    const zeroStart = up(dataEnd);
    if (zeroEnd > zeroStart) image.place(zeroStart, { anonymous: up(zeroEnd) - zeroStart });
  }
  return image;
}

/** Compares with memory of this process that is not memmap's, without touching it. */
function isSame(image, { offset, dataEnd }, loaderBase) {
  const memory = openSync('/proc/self/mem', 'r');
  const piece = Buffer.alloc(1024 * 1024);
  try {
    for (let at = offset; at < dataEnd; at += piece.length) {
      const length = Math.min(piece.length, dataEnd - at);
      const theirs = piece.subarray(0, length);
      const read = readSync(memory, theirs, 0, length, loaderBase + BigInt(at));
      if (read !== length || !theirs.equals(image.view(at, length))) return false;
    }
    return true;
  } finally {
    closeSync(memory);
  }
}

/** The writable segment: the file's bytes, then zeros to the end of the image. */
function isFresh(image, { path, segments, span }) {
  const { offset, fileOffset, dataEnd } = segments.at(-1);
  const file = readFileSync(path).subarray(fileOffset, fileOffset + dataEnd - offset);
  const zeros = image.view(dataEnd, span - dataEnd);
  return image.view(offset, dataEnd - offset).equals(file) && zeros.every((byte) => byte === 0);
}

/** By the kernel's own list. */
function checkProtection(image, offset, protection) {
  const address = image.address + BigInt(offset);
  const found = addressSpace.query(address)?.protection;
  if (found !== protection) throw new Error(`${hex(address)} is ${found}, not ${protection}`);
}

function compare(path) {
  const loader = addressSpace.regions().find((region) => region.path === path);
  if (loader === undefined) throw new Error(`${path} is not loaded in this process`);

  const plan = planOf(path);
  const image = load(plan);
  console.log(`${basename(path)}: ${plan.segments.length} segments in ${hex(plan.span)} bytes`);
  for (const segment of plan.segments) {
    const { offset, dataEnd, protection } = segment;
    checkProtection(image, offset, PROTECTIONS[protection]);
    const isWritable = protection === 'rw-';
    const same = isWritable ? isFresh(image, plan) : isSame(image, segment, loader.start);
    if (!same) throw new Error(`${basename(path)} differs at ${hex(offset)}`);
    const text = isWritable ? 'as in the file, then zeros' : "the loader's bytes";
    console.log(
      `  ${protection}  ${hex(offset).padStart(9)} to ${hex(dataEnd).padEnd(9)}  ${text}`,
    );
  }
  // Between the segments nothing can be read, and nobody else's memory can get there.
  const gaps = image.layout().filter(({ mapping }) => mapping === undefined);
  for (const { offset } of gaps) checkProtection(image, offset, 'none');
  image.release();
}

function main(paths) {
  const loaded = addressSpace.regions().map(({ path = '' }) => path);
  const libc = loaded.find((path) => /\/(libc\.so\.6|ld-musl-[^/]*)$/.test(path));
  const chosen = paths.length > 0 ? paths : [libc, process.execPath].filter(Boolean);
  for (const path of chosen) compare(path);
  console.log(`${chosen.length} files laid out as the loader did`);
}

main(process.argv.slice(2));
