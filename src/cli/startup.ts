/** `permafrost startup`: how the start goes, and nothing else. */

import type { Command } from 'commander';
import { addEngineFlags, type EngineFlags, engineOptions } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { withEngine } from './open-engine.js';
import { createProgress } from './progress.js';
import { startupLines } from './startup-report.js';

interface StartupFlags extends EngineFlags {
  readonly json?: boolean;
}

export function addStartup(program: Command, end: (code: ExitCode) => void): void {
  const command = program
    .command('startup')
    .description('start an engine and report how long each part took')
    .option('--json', 'the report as JSON');
  addEngineFlags(command).action(async (flags: StartupFlags) => {
    const { startup } = await withEngine(
      engineOptions(flags),
      createProgress(),
      async (engine) => engine,
    );
    const text =
      flags.json === true ? JSON.stringify(startup, null, 2) : startupLines(startup).join('\n');
    process.stdout.write(`${text}\n`);
    end(EXIT.ok);
  });
}
