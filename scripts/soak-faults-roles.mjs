// Who takes part in soak-faults.mjs: the Writer, which makes the file shorter and longer, and the Reader,
// which maps it. Their public methods are what they can be told. They know nothing of processes and threads.
import { ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { mapFileSync, pageSize, registry } from 'memmap';
import { randomFrom } from './soak-kit.mjs';

const PAGES = 240;
const WHOLE = pageSize * PAGES;
// No page ever holds it.
const FOREIGN = 255;

/** What each byte of a page holds in an era: 1 to 254, and never what another page holds. */
const stampOf = (page, era) => 1 + ((page + 97 * era) % 254);

export class Writer {
  #fd;
  #random;
  #size = 0;

  constructor({ path, seed }) {
    this.#fd = openSync(path, 'w');
    this.#random = randomFrom(seed);
  }

  /** So many changes, spread over so many milliseconds. Nothing below the floor is cut off. */
  async change({ count, ms, era, floor }) {
    const start = performance.now();
    let truncations = 0;
    for (let done = 0; done < count;) {
      const due = Math.min(count, Math.ceil((count * (performance.now() - start)) / ms));
      for (; done < due; done++) if (this.#changeOnce(era, floor)) truncations++;
      await pause(1);
    }
    return { truncations, extensions: count - truncations };
  }

  /** The whole file, with a value in each byte. */
  complete({ era }) {
    this.#size = WHOLE;
    ftruncateSync(this.#fd, WHOLE);
    for (let page = 0; page < PAGES; page++) this.#stamp(page, era);
    return {};
  }

  /** The share of the file that is never cut off in the next round: half of the time nothing. */
  chooseFloor() {
    return this.#random(2) * this.#random(WHOLE / 2);
  }

  #changeOnce(era, floor) {
    const before = this.#size;
    const shorter = before === WHOLE || (before > floor && this.#random(2) === 0);
    const after = shorter
      ? this.#lengthBetween(floor, before - 1)
      : this.#lengthBetween(before + 1, WHOLE);
    this.#size = after;
    ftruncateSync(this.#fd, after);
    // What became longer is zeros, or the values again, or some of each.
    if (!shorter && this.#random(2) === 0) {
      for (let page = Math.ceil(before / pageSize); (page + 1) * pageSize <= after; page++) {
        if (this.#random(3) > 0) this.#stamp(page, era);
      }
    }
    return shorter;
  }

  /** On a page's edge, anywhere, or as far as it goes. */
  #lengthBetween(from, to) {
    const place = from + this.#random(to - from + 1);
    const edge = Math.max(from, place - (place % pageSize));
    const end = this.#random(2) === 0 ? from : to;
    return [place, edge, end][this.#random(3)];
  }

  #stamp(page, era) {
    const bytes = Buffer.alloc(pageSize, stampOf(page, era));
    writeSync(this.#fd, bytes, 0, pageSize, page * pageSize);
  }
}

const nothingYet = () => ({ bytes: 0, faults: {}, repaired: 0, unrepaired: 0, refused: 0 });

export class Reader {
  #path;
  #mapping;
  #bytes;
  #random;
  #counts = nothingYet();
  #round;
  #stopped;
  #running;

  constructor({ path, seed, index, guard }) {
    this.#path = path;
    this.#random = randomFrom(seed + 1 + index);
    this.#mapping = mapFileSync(path, { access: index === 0 ? 'read' : 'read-write', guard });
    this.#bytes = this.#mapping.buffer;
    this.#mapping.on('fault', ({ kind, count }) => {
      const { faults } = this.#counts;
      faults[kind] = (faults[kind] ?? 0) + count;
    });
  }

  start(round) {
    this.#round = round;
    this.#counts = nothingYet();
    this.#stopped = false;
    this.#running = this.#run();
    // Whoever stops it hears of it.
    this.#running.catch(() => undefined);
    return {};
  }

  async stop() {
    this.#stopped = true;
    await this.#running;
    return this.#counts;
  }

  /** The file is whole again: so must the mapping be. */
  async restore() {
    await this.#mapping.repair();
    const { length } = this.#mapping.faults;
    if (length > 0) this.#fail(`${length} faults are left after repair()`);
    return this.compare();
  }

  /** The mapping shows exactly the file, and does not rely on the guard for it. */
  compare() {
    if (readFileSync(this.#path).compare(this.#bytes) !== 0) {
      this.#fail('the mapping does not show the file');
    }
    if (this.#mapping.faults.length > 0) this.#fail('a fault, although the file is whole');
    const drifts = registry.verify();
    if (drifts.length > 0) this.#fail(`registry.verify(): ${JSON.stringify(drifts)}`);
    return {};
  }

  async #run() {
    const actions = [
      ...Array(4).fill(() => this.#scan()),
      ...Array(2).fill(() => this.#search()),
      () => this.#refusable(() => this.#mapping.guarded(() => this.#scan())),
      () => this.#refusable(() => this.#copy()),
      () => this.#repair(),
    ];
    while (!this.#stopped) {
      await actions[this.#random(actions.length)]();
      await turn();
    }
  }

  #scan() {
    let sum = 0;
    for (let page = 0; page < PAGES; page++) sum += this.#sumOf(this.#bytes, page);
    this.#counts.bytes += WHOLE;
    return sum;
  }

  /** Every byte of the page is its value, or above the floor a zero. */
  #sumOf(bytes, page, first = page * pageSize) {
    const value = stampOf(page, this.#round.era);
    const other = (page + 1) * pageSize <= this.#round.floor ? value : 0;
    let sum = 0;
    for (let at = first; at < first + pageSize; at++) {
      const byte = bytes[at];
      if (byte !== value && byte !== other) {
        this.#fail(`a byte of page ${page} is ${byte}, not ${value} or ${other}`);
      }
      sum += byte;
    }
    return sum;
  }

  #search() {
    const from = this.#random(WHOLE);
    const found = this.#bytes.indexOf(FOREIGN, from);
    if (found >= 0) this.#fail(`byte ${found} is ${FOREIGN}, which no page holds`);
    this.#counts.bytes += WHOLE - from;
  }

  #copy() {
    const page = this.#random(PAGES);
    this.#sumOf(this.#mapping.read(page * pageSize, pageSize), page, 0);
  }

  /** The guard may refuse it, and the kernel where the guard has not mended the page. */
  #refusable(call) {
    try {
      call();
    } catch (error) {
      if (error.code !== 'ERR_MEMMAP_FAULT' && error.code !== 'EFAULT') throw error;
      this.#counts.refused++;
    }
  }

  async #repair() {
    try {
      await this.#mapping.repair();
      this.#counts.repaired++;
    } catch (error) {
      if (error.code !== 'ERR_MEMMAP_FAULT') throw error;
      this.#counts.unrepaired++;
    }
  }

  #fail(what) {
    const { era, floor } = this.#round;
    throw new Error(`${what} (era ${era}, floor ${floor})`);
  }
}
