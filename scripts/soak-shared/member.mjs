// node member.mjs PART ROLE DATA: one of a crowd. A violation is an error, which ends it.
import { SharedMemory } from 'memmap';
import { STOP, wordsOf } from './crowd.mjs';

const FD = 4;

const [part, role, data] = process.argv.slice(2);
const { roles } = await import(`./${part}.mjs`);
// Nobody outlives the soak.
const orphaned = () => process.exit(1);
process.on('disconnect', orphaned);

const memory = SharedMemory.fromFd(FD);
const mapping = memory.map();
const stop = wordsOf(mapping, STOP, 1);
await roles[role]({ ...JSON.parse(data), mapping, stopped: () => Atomics.load(stop, 0) !== 0 });
process.off('disconnect', orphaned);
process.disconnect();
