// One trace of allocations twice, placed by the kernel and by an arena: node examples/fragmentation.mjs
//
// A game loads levels. Every asset is unpacked through buffers that go when the level is complete, and
// leaves an object that stays. The kernel cannot know which is which and takes the first hole that
// fits, so that what stays ends up all over the place. That is how Windows programs under Wine run out
// of room for one large block while most of their address space is free.
import { fileURLToPath } from 'node:url';
import { addressSpace, constants, mapAnonymous, pageSize, sys } from 'memmap';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

const LEVELS = 6;
const ASSETS = 170;
const BUFFERS = 10;

/** What the program does: the same every time. @param {(event: object) => void} emit */
function trace(emit) {
  let seed = 42;
  const random = (limit) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  // As many between 16 and 32 KiB as between 1 and 2 MiB.
  const size = (smallest, largest) => {
    const bytes = smallest * (largest / smallest) ** (random(MiB) / MiB);
    return Math.ceil(bytes / pageSize) * pageSize;
  };
  let id = 0;
  for (let level = 0; level < LEVELS; level++) {
    const buffers = [];
    for (let asset = 0; asset < ASSETS; asset++) {
      for (let left = 1 + random(BUFFERS); left > 0; left--) {
        buffers.push(id);
        emit({ map: id++, length: size(16 * KiB, 4 * MiB), lifetime: 'short' });
      }
      emit({ map: id++, length: size(16 * KiB, 512 * KiB), lifetime: 'long' });
    }
    for (const buffer of buffers) emit({ unmap: buffer });
  }
}

/** Plays the trace; `map` places one allocation. What stays mapped is given back by `end`. */
function play(map) {
  const live = new Map();
  let mapped = 0;
  let peak = 0;
  trace((event) => {
    if ('map' in event) {
      live.set(event.map, map(event.length, event.lifetime));
      mapped += event.length;
    } else {
      const mapping = live.get(event.unmap);
      live.delete(event.unmap);
      mapped -= mapping.length;
      mapping.unmap();
    }
    peak = Math.max(peak, mapped);
  });
  const end = () => {
    for (const mapping of live.values()) mapping.unmap();
  };
  return { mappings: [...live.values()], mapped, peak, end };
}

/** What lies in [start, end) by the kernel's own list, ascending. */
const occupied = (start, end) =>
  addressSpace
    .regions()
    .map((region) => [Number(region.start), Number(region.end)])
    .filter(([from, to]) => to > start && from < end);

/** The holes between what is `taken`, ascending and without overlaps, in [start, end). */
function holes(taken, start, end) {
  const found = [];
  let at = start;
  for (const [from, to] of [...taken, [end, end]]) {
    if (from > at) found.push({ start: at, end: from });
    at = Math.max(at, to);
  }
  return found;
}

const largest = (found) =>
  found.reduce((best, hole) => (hole.end - hole.start > best.end - best.start ? hole : best));

/** A window that the kernel places into when it is asked to: how, and the largest hole in it. */
export function kernelWindow() {
  const { PROT_NONE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_32BIT } = constants;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (MAP_32BIT !== undefined) {
    const place = (length) => sys.mmap(0, length, PROT_NONE, flags | MAP_32BIT, -1, 0);
    const window = largest(holes(occupied(GiB, 2 * GiB), GiB, 2 * GiB));
    return { what: 'MAP_32BIT, which means the second GiB', ...window, place };
  }
  // Elsewhere nothing bounds the kernel but what it would choose anyway: the place it has for a GiB.
  const place = (length) => sys.mmap(0, length, PROT_NONE, flags, -1, 0);
  const probe = place(GiB);
  const start = Number(probe.address);
  probe.unmap();
  const what = 'no MAP_32BIT here: the GiB where the kernel would put one';
  return { what, start, end: start + GiB, place };
}

/** The trace under the kernel's placement. */
export function underKernel({ start, end, place }) {
  const played = play(place);
  const taken = occupied(start, end);
  played.end();
  return { ...played, taken, start, end, largest: sizeOf(largest(holes(taken, start, end))) };
}

/** The trace in an arena of the same size. */
export function underArena(size, policy) {
  const arena = addressSpace.arena({ size, policy });
  const options = { arena, noReserve: true };
  const played = play((length, lifetime) => mapAnonymous(length, { ...options, lifetime }));
  const start = Number(arena.address);
  const taken = played.mappings
    .map(({ address, length }) => [Number(address), Number(address) + length])
    .sort(([a], [b]) => a - b);
  const stats = arena.stats();
  const found = sizeOf(largest(holes(taken, start, start + size)));
  if (stats.largestFree !== found) throw new Error(`${stats.largestFree} is not ${found}`);
  played.end();
  arena.release();
  return { ...played, taken, start, end: start + size, largest: found };
}

const sizeOf = ({ start, end }) => end - start;

/** 64 columns: how full each part is. */
function picture({ taken, start, end }) {
  const step = (end - start) / 64;
  const shades = ' .:-=+*#%@';
  return Array.from({ length: 64 }, (_, column) => {
    const [from, to] = [start + column * step, start + (column + 1) * step];
    const full = taken.reduce(
      (sum, [a, b]) => sum + Math.max(0, Math.min(b, to) - Math.max(a, from)),
      0,
    );
    return shades[Math.min(9, Math.ceil((9 * full) / step))];
  }).join('');
}

function main() {
  const window = kernelWindow();
  const size = sizeOf(window);
  const mib = (bytes) => `${(bytes / MiB).toFixed(1)} MiB`;
  const results = {
    kernel: underKernel(window),
    'first-fit': underArena(size, 'first-fit'),
    segregated: underArena(size, 'segregated'),
  };
  const { mappings, mapped, peak } = results.kernel;
  console.log(`${mib(size)}: ${window.what}`);
  console.log(
    `at most ${mib(peak)} mapped at once; ${mappings.length} mappings stay, ${mib(mapped)}\n`,
  );
  for (const [name, result] of Object.entries(results)) {
    console.log(`${name.padEnd(11)}|${picture(result)}| largest free ${mib(result.largest)}`);
  }
  const times = results.segregated.largest / results.kernel.largest;
  console.log(`\nsegregated leaves ${times.toFixed(1)} times the room for one large block`);
  if (times < 3) throw new Error('the arena did not keep what stays together');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
