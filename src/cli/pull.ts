/** `permafrost pull`: a model of the hub into the cache. */

import type { Command } from 'commander';
import { pullModel } from '../hub/pull-model.js';
import { writeStandardOutput } from '../jobs/standard-output.js';
import type { CommandContext } from './command.js';
import { DownloadDisplay } from './download-display.js';

interface PullFlags {
  readonly cacheDir?: string;
}

export function addPull(program: Command, { progress }: CommandContext): void {
  program
    .command('pull')
    .description(
      'download a model of the Hugging Face hub, or bring it up to date; print its folder',
    )
    .argument('<model>', 'org/name or org/name@revision')
    .option('--cache-dir <dir>', 'the cache (default: HF_HUB_CACHE, or hub in HF_HOME)')
    .action(async (model: string, { cacheDir }: PullFlags) => {
      const display = new DownloadDisplay(progress);
      const folder = await display.around((onProgress) =>
        pullModel(model, { ...(cacheDir !== undefined && { cacheDir }), onProgress }),
      );
      await writeStandardOutput(`${folder}\n`);
    });
}
