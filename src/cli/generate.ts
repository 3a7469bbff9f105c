/** `permafrost generate`: one prompt, its text on standard output as it comes. */

import type { Command } from 'commander';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { validateRequest } from '../protocol/request-validation.js';
import { parseCount, parseNumber } from './arguments.js';
import type { CommandContext } from './command.js';
import {
  addEngineFlags,
  checkEngineFlags,
  type EngineFlags,
  engineOptions,
  inFlags,
} from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount } from './format.js';
import { withEngine } from './open-engine.js';

/** How long an interrupted answer may take to end. */
const LIMIT_MS = 10_000;

interface GenerateFlags extends EngineFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
}

export function addGenerate(program: Command, context: CommandContext): void {
  const command = program
    .command('generate')
    .description('complete one prompt')
    .argument('<prompt>', 'text to go on from')
    .option('--max-tokens <n>', 'most tokens to generate', parseCount)
    .option('--temperature <t>', '0 takes the likeliest token', parseNumber);
  addEngineFlags(command).action(async (prompt: string, flags: GenerateFlags) =>
    context.end(await generate(prompt, flags, context)),
  );
}

async function generate(
  prompt: string,
  flags: GenerateFlags,
  { progress, interruption }: CommandContext,
): Promise<ExitCode> {
  const { maxTokens, temperature } = flags;
  const params = {
    ...(maxTokens !== undefined && { maxTokens }),
    ...(temperature !== undefined && { temperature }),
  };
  // The engine takes a while to start: what is known to be wrong is said before.
  inFlags(() => validateRequest({ prompt, params }));
  await checkEngineFlags(flags);
  return withEngine(engineOptions(flags), progress, async (engine) => {
    const { maxModelLen } = engine.startup;
    if (maxTokens !== undefined && maxTokens >= maxModelLen) {
      const context = `the context of ${formatCount(maxModelLen)} tokens`;
      progress.say(`warning: --max-tokens ${maxTokens} is beyond ${context}, which ends the text`);
    }
    using _ = interruption.graceful({ notice: 'interrupted', limitMs: LIMIT_MS });
    const { signal } = interruption;
    for await (const { text } of engine.stream(prompt, { ...params, signal })) {
      await writeStandardOutput(text);
    }
    await writeStandardOutput('\n');
    return signal.aborted ? interruption.exitCode : EXIT.ok;
  });
}
