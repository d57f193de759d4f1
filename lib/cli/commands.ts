// The table of commands.

import type { Command } from './command.js';
import { runCommand } from './run.js';

export const commands: readonly Command[] = [runCommand];
