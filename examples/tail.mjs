// Prints what is appended to a log, also when it is rotated or cut short: node examples/tail.mjs FILE [LINES]
// With LINES it ends after so many.
import { mapFile } from 'memmap';

const [path, count = 'Infinity'] = process.argv.slice(2);
if (!path) throw new Error('usage: node examples/tail.mjs FILE [LINES]');

const log = await mapFile(path, { follow: true, maxLength: 2 ** 32 });
let printed = 0;
let position = 0;

/** Prints the whole lines from `position` on. */
function printLines() {
  const end = log.lastIndexOf('\n') + 1;
  if (end <= position) return;
  const text = log.view(position, end - position).toString();
  process.stdout.write(text);
  position = end;
  printed += text.split('\n').length - 1;
  if (printed >= Number(count)) {
    log.unmap();
    process.exit();
  }
}

// Reading a file that was cut short meanwhile is a fault; the reload that follows repairs it.
log.on('fault', () => {});
log.on('change', ({ change }) => {
  if (change === 'deleted') return;
  if (change === 'replaced' || change === 'shrunk') position = 0;
  log.reload();
  printLines();
});
printLines();
