#!/usr/bin/env node
/** The command line. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isReaderGone, writeStandardOutput } from '../jobs/standard-output.js';
import type { AddCommand, CommandContext } from './command.js';
import { describeError, EXIT, type ExitCode, exitCodeOf } from './exit-code.js';
import { Interruption } from './interruption.js';
import { leave } from './leave.js';
import { createProgress } from './progress.js';
import { StandardError } from './standard-error.js';

/** In the order of the help. A command's modules take up to 0.2 s to load: only its own are. */
const COMMANDS: ReadonlyMap<string, () => Promise<AddCommand>> = new Map([
  ['run-batch', async () => (await import('./run-batch.js')).addRunBatch],
  ['merge', async () => (await import('./merge.js')).addMerge],
  ['submit', async () => (await import('./submit.js')).addSubmit],
  ['work', async () => (await import('./work.js')).addWork],
  ['collect', async () => (await import('./collect.js')).addCollect],
  ['generate', async () => (await import('./generate.js')).addGenerate],
  ['startup', async () => (await import('./startup.js')).addStartup],
  ['bench', async () => (await import('./bench.js')).addBench],
  ['pull', async () => (await import('./pull.js')).addPull],
  ['devices', async () => (await import('./devices.js')).addDevices],
]);

/** The named command; all of them for whoever names none, who gets help. */
function loadCommands(name: string | undefined): Promise<AddCommand[]> {
  const named = name === undefined ? undefined : COMMANDS.get(name);
  const wanted = named === undefined ? [...COMMANDS.values()] : [named];
  return Promise.all(wanted.map((load) => load()));
}

async function createProgram(context: CommandContext, onHelp: (text: string) => void) {
  const packageJson: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  const program = new Command('permafrost')
    .description('LLM batch inference on every GPU of this machine, or on its CPU')
    .version(String((packageJson as { readonly version?: unknown }).version))
    .showHelpAfterError('(add --help for all options)')
    .addHelpText(
      'after',
      '\nExit codes: 0 all well, 1 some rows failed, 2 bad usage, input or output,' +
        '\n3 the engine could not start, 130 interrupted, 143 and 129 ended by SIGTERM and SIGHUP.',
    )
    .configureOutput({
      writeOut: onHelp,
      writeErr: (text) => context.progress.say(text.trimEnd()),
    })
    .exitOverride();
  for (const add of await loadCommands(process.argv[2])) add(program, context);
  return program;
}

/** Runs the command that the arguments name. */
async function run(context: CommandContext): Promise<void> {
  let help = '';
  try {
    const program = await createProgram(context, (text) => {
      help += text;
    });
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    context.end(error.exitCode === 0 ? EXIT.ok : EXIT.badUsage);
  }
  if (help === '') return;
  // Who closes a help early has read enough of it.
  await writeStandardOutput(help).catch((error: unknown) => {
    if (!isReaderGone(error)) throw error;
  });
}

const standardError = new StandardError();
const progress = createProgress(standardError, process.env);
let exitCode: ExitCode = EXIT.ok;
let departure: Promise<never> | null = null;
/** The first one decides about the code. */
const leaveWith = (code: ExitCode): Promise<never> => {
  departure ??= leave(code, standardError);
  return departure;
};
const interruption = new Interruption({
  say: (line) => {
    progress.stop();
    progress.say(line);
  },
  leave: (code) => void leaveWith(code),
});

try {
  await run({
    progress,
    interruption,
    end: (code) => {
      exitCode = code;
    },
  });
} catch (error) {
  progress.stop();
  progress.say(`permafrost: ${describeError(error)}`);
  exitCode = exitCodeOf(error);
}
await leaveWith(exitCode);
