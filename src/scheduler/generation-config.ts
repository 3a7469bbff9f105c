/** What a checkpoint's `generation_config.json` says about sampling. Reading the file is not done here. */

import { z } from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import { checkValue, joinProblems } from '../protocol/validation.js';
import { type GenerationDefaults, SAMPLING_DEFAULTS } from './sampling-defaults.js';

// Some files name ids that can't occur, such as -1: whoever uses them leaves those out.
const tokenId = z.int();

// Files in the wild spell "not set" as null, and carry many keys that don't concern sampling here.
const generationConfig = z.object({
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  do_sample: z.boolean().nullish(),
  temperature: z.number().nonnegative().nullish(),
  top_p: z.number().positive().max(1).nullish(),
  top_k: z.int().nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
});

/**
 * The defaults in a parsed `generation_config.json`; `undefined` stands for a checkpoint without
 * one. Keys: https://huggingface.co/docs/transformers/main_classes/text_generation
 * @throws ERR_MODEL_CONFIG when a value has a wrong type or range.
 */
export function parseGenerationConfig(file: unknown): GenerationDefaults {
  const checked = checkValue(generationConfig, file ?? {}, 'the file');
  if (!('value' in checked)) {
    throw new PermafrostError(
      'ERR_MODEL_CONFIG',
      `generation_config.json is malformed: ${joinProblems(checked.problems)}`,
    );
  }
  const config = checked.value;
  const eos = config.eos_token_id ?? [];
  return {
    eosTokenIds: typeof eos === 'number' ? [eos] : eos,
    temperature:
      config.do_sample === false ? 0 : (config.temperature ?? SAMPLING_DEFAULTS.temperature),
    topP: config.top_p ?? SAMPLING_DEFAULTS.topP,
    // Some files write -1 for "all".
    topK: Math.max(0, config.top_k ?? SAMPLING_DEFAULTS.topK),
    minP: config.min_p ?? SAMPLING_DEFAULTS.minP,
    repetitionPenalty: config.repetition_penalty ?? SAMPLING_DEFAULTS.repetitionPenalty,
  };
}
