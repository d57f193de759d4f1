// The side that is measured by bench/rows/interpose.mjs: a line on stdin, and the nanoseconds of one map and unmap on stdout.
const { createInterface } = require('node:readline');
const { mapAnonymous, pageSize } = require('memmap');

const COUNT = 500;

createInterface({ input: process.stdin }).on('line', () => {
  const start = process.hrtime.bigint();
  for (let i = 0; i < COUNT; i++) mapAnonymous(pageSize).unmap();
  console.log(Number(process.hrtime.bigint() - start) / COUNT);
});
