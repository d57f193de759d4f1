// The table of commands.

import type { Command } from './command.js';
import { regionsCommand } from './regions.js';
import { runCommand } from './run.js';
import { viewCommand } from './view.js';

export const commands: readonly Command[] = [regionsCommand, viewCommand, runCommand];
