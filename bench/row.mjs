// node --expose-gc bench/row.mjs NAME: measures one row in a process of its own and sends what it found.
import { rows } from './rows/all.mjs';

const row = rows.find(({ name }) => name === process.argv[2]);
if (row === undefined) throw new Error(`no row is called ${process.argv[2]}`);
const found = await row.run();
process.send(found, () => process.disconnect());
