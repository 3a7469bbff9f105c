/** What every command gets from the process that it runs in. */

import type { Command } from 'commander';
import type { ExitCode } from './exit-code.js';
import type { Interruption } from './interruption.js';
import type { ProgressDisplay } from './progress.js';

export interface CommandContext {
  /** Where news go. */
  readonly progress: ProgressDisplay;
  readonly interruption: Interruption;
  /** Sets the code that the process ends with. */
  readonly end: (code: ExitCode) => void;
}

/** Adds a command to the program. */
export type AddCommand = (program: Command, context: CommandContext) => void;
