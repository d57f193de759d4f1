// The page of `memmap view` and `memmap run --report`: reads the data beside it and wires the parts together.

import type { PageData } from '../lib/cli/data.js';
import { App } from './app.js';
import { byId } from './dom.js';

const app = new App(JSON.parse(byId('data').textContent) as PageData);
Object.defineProperty(window, 'memmapView', { value: { state: () => app.inspect() } });
