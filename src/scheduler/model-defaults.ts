/** Reads what a checkpoint's files say about sampling and about the end of a text. */

import { join } from 'node:path';
import { readCheckpointFile } from '../protocol/checkpoint-file.js';
import { PermafrostError } from '../protocol/errors.js';
import { MAX_STOP_IDS } from '../protocol/step-block.js';
import type { GenerationDefaults } from './sampling-defaults.js';

/**
 * The defaults of `generation_config.json`. A text ends at the ids that this file names, or else
 * `config.json`, and at the tokenizer's own end of sequence as well.
 * @throws ERR_MODEL_CONFIG when the file is malformed, ERR_FILE when it can't be read.
 */
export async function readGenerationDefaults(
  model: string,
  tokenizerEosIds: readonly number[],
): Promise<GenerationDefaults> {
  // Not before it is needed: by then devices are starting, which wait for nothing of this thread.
  const { parseGenerationConfig } = await import('./generation-config.js');
  const defaults = parseGenerationConfig(await readJson(join(model, 'generation_config.json')));
  const configured =
    defaults.eosTokenIds.length > 0
      ? defaults.eosTokenIds
      : eosIdsOf(await readJson(join(model, 'config.json')));
  const canOccur = [...configured, ...tokenizerEosIds].filter((id) => id >= 0);
  const eosTokenIds = [...new Set(canOccur)];
  if (eosTokenIds.length > MAX_STOP_IDS) {
    throw new PermafrostError(
      'ERR_MODEL_CONFIG',
      `the checkpoint in ${model} names ${eosTokenIds.length} end-of-sequence ids: ` +
        `at most ${MAX_STOP_IDS} are possible`,
    );
  }
  return { ...defaults, eosTokenIds };
}

/** undefined when there is no such file. */
async function readJson(path: string): Promise<unknown> {
  const bytes = await readCheckpointFile(path);
  if (bytes === null) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PermafrostError('ERR_MODEL_CONFIG', `${path} is not JSON: ${String(cause)}`, {
      cause,
    });
  }
}

/** Lenient: the rest of config.json is checked by whoever loads the model. */
function eosIdsOf(config: unknown): number[] {
  if (typeof config !== 'object' || config === null) return [];
  // Checkpoints of several modalities keep the language model's settings in a part of their own.
  const own = 'eos_token_id' in config ? config.eos_token_id : null;
  if (own === null && 'text_config' in config) return eosIdsOf(config.text_config);
  return [own].flat().filter((id): id is number => Number.isInteger(id));
}
