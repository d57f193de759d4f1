// The main job on real input: npm start.
// Maps the Node binary that runs this, reads it, shares memory, and shows what memmap refuses.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, mapAnonymous, mapFileSync, pageSize, registry, sys } from 'memmap';

const self = fileURLToPath(import.meta.url);
const binary = process.execPath;
const needle = 'Uncaught:\n';

const title = (text) => console.log(`\n${text}`);
const line = (name, ...values) => console.log(`  ${name.padEnd(27)}${values.join('')}`);
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const hex = (address) => `0x${address.toString(16)}`;

/** What one way of reading costs, measured in a process that does nothing else. */
function reading(way) {
  const before = memory();
  const start = performance.now();
  const mapping = way === 'mapFile' ? mapFileSync(binary) : undefined;
  const bytes = mapping?.buffer ?? readFileSync(binary);
  const opened = performance.now() - start;
  const at = bytes.indexOf(needle);
  const found = performance.now() - start;
  const sum = createHash('sha1').update(bytes).digest('hex');
  const summed = performance.now() - start;
  const after = memory();
  mapping?.unmap();
  const own = after.own === undefined ? undefined : after.own - before.own;
  return {
    opened,
    found,
    summed,
    at,
    sum,
    length: bytes.length,
    own,
    peak: after.peak - before.peak,
  };
}

/** Resident memory in bytes: of this process alone (Linux tells), and at its peak with shared pages. */
function memory() {
  const peak = process.resourceUsage().maxRSS * 1024;
  if (process.platform !== 'linux') return { peak };
  const status = readFileSync('/proc/self/status', 'utf8');
  return { peak, own: Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024 };
}

const inChild = (...args) => execFileSync(binary, [self, ...args], { encoding: 'utf8' });

function compareWithReadFile() {
  inChild('reading', 'readFile'); // so that both find the file in the page cache
  const rows = ['readFile', 'mapFile'].map((way) => JSON.parse(inChild('reading', way)));
  const [read, mapped] = rows;
  title(`1. ${binary.split('/').pop()}, ${mebibytes(read.length)}, mapped and read`);
  line('', 'fs.readFileSync'.padStart(16), 'mapFileSync'.padStart(16));
  const row = (name, text) => line(name, ...rows.map((each) => text(each).padStart(16)));
  row('until the first byte', ({ opened }) => `${opened.toFixed(2)} ms`);
  row('until the text was found', ({ found }) => `${found.toFixed(2)} ms`);
  row('until the sha1 was known', ({ summed }) => `${summed.toFixed(2)} ms`);
  if (read.own !== undefined) row('memory of its own', ({ own }) => mebibytes(own));
  row('peak RSS (page cache too)', ({ peak }) => mebibytes(peak));
  row('sha1', ({ sum }) => sum.slice(0, 12));
  if (read.sum !== mapped.sum || read.at !== mapped.at) throw new Error('the two ways differ');
}

function shareWithAnotherProcess(folder) {
  title('2. A second process sees what this one writes, without a copy');
  const path = join(folder, 'shared');
  const shared = mapFileSync(path, { access: 'read-write', create: true, size: pageSize });
  shared.buffer.write('hello from ' + process.pid);
  line(
    'this process wrote',
    JSON.stringify(shared.buffer.toString('utf8', 0, 20).replace(/\0.*/, '')),
  );
  line('the second one read', inChild('second', path).trim());
  line('and wrote back', JSON.stringify(shared.buffer.toString('utf8', 64, 72)));
  shared.unmap();
}

function overwriteByName() {
  title('3. MAP_FIXED: refused, then allowed by name');
  const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED } = constants;
  const [protection, kind] = [PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS];
  const victim = sys.mmap(0, pageSize, protection, kind, -1, 0);
  victim.write(0, 'precious');
  const over = (options) =>
    sys.mmap(victim.address, pageSize, protection, kind | MAP_FIXED, -1, 0, options);
  try {
    over();
  } catch (error) {
    line('without naming it', error.code);
    line('nothing was lost', victim.read(0, 8).toString());
    line(
      'conflicting mapping',
      `error.conflicts[0] === victim is ${error.conflicts[0] === victim}`,
    );
  }
  const winner = over({ replace: victim });
  line('{ replace: victim }', `${hex(winner.address)} is new, the old one is '${victim.state}'`);
  line('the kernel agrees', `registry.verify() gives ${registry.verify().length} differences`);
  winner.unmap();
}

function detachOnUnmap() {
  title('4. After unmap() the Buffer is empty, and it is safe to touch');
  const mapping = mapAnonymous(pageSize);
  const { buffer } = mapping;
  buffer.write('still here');
  line('before', `length ${buffer.length}, ${JSON.stringify(buffer.toString('utf8', 0, 10))}`);
  mapping.unmap();
  line('after', `length ${buffer.length}, buffer[0] is ${buffer[0]}`);
}

/** The other end of part 2. */
function second(path) {
  const shared = mapFileSync(path, { access: 'read-write' });
  console.log(JSON.stringify(shared.read(0, 64).toString().replace(/\0.*/, '')));
  shared.write(64, 'and hi!\n');
  shared.unmap();
}

function tour() {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-tour-'));
  try {
    console.log(`memmap on ${process.platform}-${process.arch}, Node ${process.versions.node}`);
    compareWithReadFile();
    shareWithAnotherProcess(folder);
    overwriteByName();
    detachOnUnmap();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [part, argument] = process.argv.slice(2);
if (part === 'reading') console.log(JSON.stringify(reading(argument)));
else if (part === 'second') second(argument);
else tour();
