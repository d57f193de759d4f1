// Swaps the file behind a Buffer while threads read it: node examples/hot-swap.mjs [SWAPS]
//
// Every version of an index is a file of its own. replace() puts the next one at the address of the
// last, atomically: readers keep their Buffer, and find each page of the old file or of the new one,
// never a hole. A record that is read while that happens may begin in one and end in the other, so
// its words say which version they are of, and a reader that finds two reads again.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, write, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { mapFileSync } from 'memmap';

const RECORDS = 4096;
const WORDS = 16; // in a record, which lies in one page
const VERSIONS = 50;
const READERS = 2;

/** A word says its version and its place, so that it can be of no other. */
const wordOf = (version, place) => ((version << 24) | place) >>> 0;

function writeVersion(path, version) {
  const words = Uint32Array.from({ length: RECORDS * WORDS }, (_, at) => wordOf(version, at));
  writeFileSync(path, words);
}

/** The version of a record; 0 when its words are of two. Throws when they are of none. */
function versionOf(words, record) {
  const seen = new Set();
  for (let at = record * WORDS; at < (record + 1) * WORDS; at++) {
    const word = words[at];
    const version = word >>> 24;
    if (version < 1 || version > VERSIONS || word !== wordOf(version, at)) {
      throw new Error(`word ${at} is 0x${word.toString(16)}`);
    }
    seen.add(version);
  }
  return seen.size === 1 ? [...seen][0] : 0;
}

/** Goes through the index once; `onTorn` gets what was met while it was swapped. */
function readIndex(words, result, onTorn) {
  for (let record = 0; record < RECORDS; record++) {
    let version = versionOf(words, record);
    if (version === 0) {
      result.torn++;
      version = onTorn(record);
    }
    result.records++;
    result.versions.add(version);
  }
}

const nothing = () => ({ records: 0, torn: 0, versions: new Set() });

/** A worker thread reads the mapping itself, until it is told to stop. */
function work({ shared, state, reader }) {
  const words = new Uint32Array(shared);
  const result = nothing();
  const again = (record) => versionOf(words, record) || again(record);
  while (!Atomics.load(state, 0)) {
    readIndex(words, result, again);
    Atomics.add(state, reader, 1);
  }
  parentPort.postMessage(result);
}

/** `passes`: how often the slowest reader went through the index. */
function startWorkers(shared) {
  const state = new Int32Array(new SharedArrayBuffer(4 * (1 + READERS)));
  const results = Array.from({ length: READERS }, (_, index) => {
    const workerData = { shared, state, reader: 1 + index };
    const worker = new Worker(new URL(import.meta.url), { workerData });
    return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  });
  const passes = () => Math.min(...state.subarray(1));
  const end = () => {
    Atomics.store(state, 0, 1);
    return Promise.all(results);
  };
  return { passes, end };
}

/** Where a Node cannot share a mapping between threads: its thread pool copies the Buffer. */
function startCopies(buffer, folder) {
  const copy = promisify(write);
  let isOver = false;
  const passes = new Int32Array(READERS);
  const results = Array.from({ length: READERS }, async (_, index) => {
    const file = openSync(join(folder, `copy-${index}`), 'w+');
    const words = new Uint32Array(RECORDS * WORDS);
    const source = new Uint32Array(buffer.buffer, buffer.byteOffset, words.length);
    const result = nothing();
    const again = (record) => versionOf(source, record);
    while (!isOver) {
      await copy(file, buffer, 0, buffer.length, 0);
      readSync(file, words, 0, words.byteLength, 0);
      readIndex(words, result, again);
      passes[index]++;
    }
    closeSync(file);
    return result;
  });
  const end = () => {
    isOver = true;
    return Promise.all(results);
  };
  return { passes: () => Math.min(...passes), end };
}

function start(mapping, folder) {
  try {
    return startWorkers(mapping.sharedArrayBuffer);
  } catch (error) {
    if (error.code !== 'ERR_MEMMAP_UNSUPPORTED') throw error;
    console.log(`Node ${process.versions.node} shares no mapping: its thread pool reads instead`);
    return startCopies(mapping.buffer, folder);
  }
}

async function main(least) {
  const folder = mkdtempSync(join(tmpdir(), 'hot-swap-'));
  const pathOf = (version) => join(folder, `index-${version}`);
  for (let version = 1; version <= VERSIONS; version++) writeVersion(pathOf(version), version);

  const mapping = mapFileSync(pathOf(1));
  const { address, buffer } = mapping;
  const readers = start(mapping, folder);
  let swaps = 0;
  while (swaps < least || readers.passes() < 3) {
    swaps++;
    mapping.replace({ file: pathOf(1 + (swaps % VERSIONS)) });
    if (swaps % 10 === 0) await turn();
  }
  const results = await readers.end();

  if (mapping.address !== address || mapping.buffer !== buffer) throw new Error('it moved');
  const last = versionOf(new Uint32Array(buffer.buffer, buffer.byteOffset, RECORDS * WORDS), 0);
  if (last !== 1 + (swaps % VERSIONS)) throw new Error(`it shows version ${last}`);
  const sum = (name) => results.reduce((total, result) => total + result[name], 0);
  const versions = new Set(results.flatMap((result) => [...result.versions]));
  if (versions.size < 2) throw new Error('nobody read while it was swapped');
  console.log(`${swaps} swaps under one Buffer; ${READERS} readers saw ${versions.size} versions`);
  console.log(
    `${sum('records')} records, each of one version, ${sum('torn')} of them at the second look`,
  );
  mapping.unmap();
  rmSync(folder, { recursive: true });
}

if (isMainThread) await main(Number(process.argv[2] ?? 2000));
else work(workerData);
