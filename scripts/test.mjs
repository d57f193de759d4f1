// npm test [-- jest arguments]; npm run test:all, with the large numbers;
// node scripts/test.mjs [--all] [--only unit|process] [jest arguments]

import { conclude, runSuite } from './jest.mjs';
import { ensureSetup } from './setup.mjs';

const args = process.argv.slice(2);
const full = args[0] === '--all' && args.shift() !== undefined;
const only = args[0] === '--only' ? args.splice(0, 2)[1] : undefined;

ensureSetup();
conclude(runSuite({ only, args, full }));
