// Hands a view to native code that works in the background: node examples/pin.mjs
// While the pin is held nothing can take the memory away from under zlib.
import { promisify } from 'node:util';
import { gunzipSync, gzip } from 'node:zlib';
import { mapFileSync } from 'memmap';

/** @param {import('memmap').Mapping} mapping */
async function compress(mapping) {
  const pin = mapping.pin();
  try {
    return await promisify(gzip)(mapping.buffer);
  } finally {
    pin.release();
  }
}

const file = process.argv[2] ?? process.argv[1];
const mapping = mapFileSync(file);
const { length } = mapping;
const compressing = compress(mapping);
try {
  mapping.unmap();
} catch (error) {
  console.log(`while zlib works, unmap() throws ${error.code}`);
}
const compressed = await compressing;
mapping.unmap();
console.log(`unmapped afterwards: ${mapping.state}`);
console.log(`nothing was lost: ${gunzipSync(compressed).length === length}`);
