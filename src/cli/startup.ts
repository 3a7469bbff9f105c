/** `permafrost startup`: how the start goes, and nothing else. */

import type { Command } from 'commander';
import { writeStandardOutput } from '../jobs/standard-output.js';
import type { CommandContext } from './command.js';
import {
  addEngineFlags,
  checkEngineFlags,
  type EngineFlags,
  engineOptions,
} from './engine-flags.js';
import { withEngine } from './open-engine.js';
import { startupLines } from './startup-report.js';

interface StartupFlags extends EngineFlags {
  readonly json?: boolean;
}

export function addStartup(program: Command, { progress }: CommandContext): void {
  const command = program
    .command('startup')
    .description('start an engine and report how long each part took')
    .option('--json', 'the report as JSON');
  addEngineFlags(command).action(async (flags: StartupFlags) => {
    await checkEngineFlags(flags);
    const { startup } = await withEngine(engineOptions(flags), progress, async (engine) => engine);
    const text =
      flags.json === true ? JSON.stringify(startup, null, 2) : startupLines(startup).join('\n');
    await writeStandardOutput(`${text}\n`);
  });
}
