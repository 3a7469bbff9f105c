#!/usr/bin/env node
/** The command line. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addBench } from './bench.js';
import { addDevices } from './devices.js';
import { describeError, EXIT, type ExitCode, exitCodeOf } from './exit-code.js';
import { addGenerate } from './generate.js';
import { addRunBatch } from './run-batch.js';
import { addStartup } from './startup.js';

const packageJson: unknown = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);

const end = (code: ExitCode): void => {
  process.exitCode = code;
};

const program = new Command('permafrost')
  .description('LLM batch inference on every GPU of this machine, or on its CPU')
  .version(String((packageJson as { readonly version?: unknown }).version))
  .showHelpAfterError('(add --help for all options)')
  .addHelpText(
    'after',
    '\nExit codes: 0 all well, 1 some rows failed, 2 bad usage or input,' +
      '\n3 the engine could not start, 130 interrupted.',
  )
  .exitOverride();
for (const add of [addRunBatch, addGenerate, addStartup, addBench, addDevices]) {
  add(program, end);
}
for (const command of program.commands) command.exitOverride();

// Whoever read our output has enough; a job whose rows nobody takes has not done them all.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(process.argv[2] === 'run-batch' ? EXIT.someFailed : EXIT.ok);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    end(error.exitCode === 0 ? EXIT.ok : EXIT.badUsage);
  } else {
    process.stderr.write(`permafrost: ${describeError(error)}\n`);
    end(exitCodeOf(error));
  }
}
