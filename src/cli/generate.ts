/** `permafrost generate`: one prompt, its text on standard output as it comes. */

import type { Command } from 'commander';
import { parseCount, parseNumber } from './arguments.js';
import { addEngineFlags, type EngineFlags, engineOptions } from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { watchInterruption } from './interruption.js';
import { withEngine } from './open-engine.js';
import { createProgress } from './progress.js';

interface GenerateFlags extends EngineFlags {
  readonly maxTokens?: number;
  readonly temperature?: number;
}

export function addGenerate(program: Command, end: (code: ExitCode) => void): void {
  const command = program
    .command('generate')
    .description('complete one prompt')
    .argument('<prompt>', 'text to go on from')
    .option('--max-tokens <n>', 'most tokens to generate', parseCount)
    .option('--temperature <t>', '0 takes the likeliest token', parseNumber);
  addEngineFlags(command).action(async (prompt: string, flags: GenerateFlags) =>
    end(await generate(prompt, flags)),
  );
}

async function generate(prompt: string, flags: GenerateFlags): Promise<ExitCode> {
  const { maxTokens, temperature } = flags;
  return withEngine(engineOptions(flags), createProgress(), async (engine) => {
    using interruption = watchInterruption(() => {});
    const chunks = engine.stream(prompt, {
      ...(maxTokens !== undefined && { maxTokens }),
      ...(temperature !== undefined && { temperature }),
      signal: interruption.signal,
    });
    for await (const { text } of chunks) process.stdout.write(text);
    process.stdout.write('\n');
    return interruption.signal.aborted ? EXIT.interrupted : EXIT.ok;
  });
}
