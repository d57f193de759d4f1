// Truncates a file under its own reader, carries on, and repairs: node examples/faults.mjs FILE
// FILE is made, and overwritten where there is one.
import { once } from 'node:events';
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import { mapFileSync } from 'memmap';

const LINES = 10_000;
const text = Array.from({ length: LINES }, (_, at) => `line ${at}\n`).join('');

/** @param {Buffer} buffer */
function countLines(buffer) {
  let lines = 0;
  for (let at = buffer.indexOf(10); at !== -1; at = buffer.indexOf(10, at + 1)) lines++;
  return lines;
}

const [path] = process.argv.slice(2);
if (!path) throw new Error('usage: node examples/faults.mjs FILE');

writeFileSync(path, text);
const mapping = mapFileSync(path, { access: 'read-write' });
const { buffer } = mapping;
console.log(`before: ${countLines(buffer)} lines`);

// What any other program may do at any moment. Without a guard the next line would be the last one.
truncateSync(path, 0);
const told = once(mapping, 'fault');
console.log(`cut short: ${countLines(buffer)} lines, and the process lives`);
const [error] = await told;
console.log(`the event: ${error.kind}, ${error.length} bytes at ${error.fileOffset} of the file`);

// Where zeros must not be taken for the file's bytes: an error instead of an answer.
writeFileSync(path, text);
await mapping.repair();
truncateSync(path, 0);
try {
  mapping.guarded(() => countLines(buffer));
} catch ({ code }) {
  console.log(`guarded() throws ${code}`);
}

// What is written meanwhile is kept, but a flush does not pretend.
buffer.write('written while there was no file', text.length - 31);
await mapping.flush().catch(({ code }) => console.log(`flush() rejects with ${code}`));

truncateSync(path, text.length);
await mapping.repair();
await mapping.flush();
const { length } = buffer;
console.log(`repaired: ${mapping.faults.length} faults, ${statSync(path).size === length}`);
console.log(mapping.read(length - 31, 31).toString());
mapping.unmap();
