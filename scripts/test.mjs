// npm test [-- jest arguments]; node scripts/test.mjs --only unit|process [jest arguments]

import { conclude, runSuite } from './jest.mjs';
import { ensureSetup } from './setup.mjs';

const args = process.argv.slice(2);
const only = args[0] === '--only' ? args.splice(0, 2)[1] : undefined;

ensureSetup();
conclude(runSuite({ only, args }));
