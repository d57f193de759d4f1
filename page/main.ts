// The page of `memmap view` and `memmap run --report`: reads the data beside it and wires the parts together.

import { unpack, type PackedData } from '../lib/cli/pack.js';
import { App } from './app.js';
import { byId } from './dom.js';

const app = new App(unpack(JSON.parse(byId('data').textContent) as PackedData));
Object.defineProperty(window, 'memmapView', { value: { state: () => app.inspect() } });
