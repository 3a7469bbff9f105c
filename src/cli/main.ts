#!/usr/bin/env node
/** The command line. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { describeError, EXIT, type ExitCode, exitCodeOf } from './exit-code.js';

type AddCommand = (program: Command, end: (code: ExitCode) => void) => void;

/** In the order of the help. A command's modules take up to 0.2 s to load: only its own are. */
const COMMANDS: ReadonlyMap<string, () => Promise<AddCommand>> = new Map([
  ['run-batch', async () => (await import('./run-batch.js')).addRunBatch],
  ['generate', async () => (await import('./generate.js')).addGenerate],
  ['startup', async () => (await import('./startup.js')).addStartup],
  ['bench', async () => (await import('./bench.js')).addBench],
  ['devices', async () => (await import('./devices.js')).addDevices],
]);

/** The named command; all of them for whoever names none, who gets help. */
function loadCommands(name: string | undefined): Promise<AddCommand[]> {
  const named = name === undefined ? undefined : COMMANDS.get(name);
  const wanted = named === undefined ? [...COMMANDS.values()] : [named];
  return Promise.all(wanted.map((load) => load()));
}

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
for (const add of await loadCommands(process.argv[2])) add(program, end);
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
