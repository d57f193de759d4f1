// node --expose-gc bench/row.mjs ROW RESULT...: measures results of one row in a process of its own
// and sends what it found.
import { rows } from './rows/all.mjs';

const [name, ...results] = process.argv.slice(2);
const row = rows.find((each) => each.name === name);
if (row === undefined) throw new Error(`no row is called ${name}`);
const found = await row.run(results);
process.send(found, () => process.disconnect());
