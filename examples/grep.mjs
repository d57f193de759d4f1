// Prints the lines of a file that contain a text: node examples/grep.mjs TEXT FILE
// The file is never read as a whole, and may be longer than the longest Buffer.
import { mapFileSync } from 'memmap';

const WINDOW = 2 ** 30;
const NEWLINE = 10;

/**
 * Every line of `log` that contains `text`.
 * @param {import('memmap').Mapping} log
 * @param {string} text
 */
function* linesWith(log, text) {
  for (let start = 0; start < log.length;) {
    const window = log.view(start, Math.min(WINDOW, log.length - start));
    const isLast = start + window.length === log.length;
    // A window ends after its last whole line; the next one starts there.
    const end = isLast ? window.length : window.lastIndexOf(NEWLINE) + 1 || window.length;
    for (let hit = window.indexOf(text); hit >= 0 && hit < end;) {
      const from = window.lastIndexOf(NEWLINE, hit) + 1;
      const newline = window.indexOf(NEWLINE, hit);
      const to = newline < 0 ? end : newline;
      yield window.toString('utf8', from, to);
      hit = window.indexOf(text, to + 1);
    }
    start += end;
  }
}

const [text, file] = process.argv.slice(2);
if (!text || !file) throw new Error('usage: node examples/grep.mjs TEXT FILE');

const log = mapFileSync(file);
log.advise('sequential');
let count = 0;
for (const line of linesWith(log, text)) {
  console.log(line);
  count++;
}
console.log(`${count} lines of ${log.length} bytes`);
log.unmap();
