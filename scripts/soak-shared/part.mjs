// node part.mjs PART OPTIONS: one part of soak-shared.mjs, in a process of its own. Says in its last line
// what happened.
import { randomFrom } from '../soak-kit.mjs';
import { run as creators } from './creators.mjs';
import * as locks from './locks.mjs';
import { run as objects } from './objects.mjs';

const parts = { ...locks, creators, objects };

const [name, given] = process.argv.slice(2);
const options = JSON.parse(given);
// The programs of the tests ask nobody for a seed.
const random = randomFrom(options.seed);
Math.random = () => random(2 ** 31) / 2 ** 31;

console.log(await parts[name](options));
