/** All that a checkpoint folder offers for text, loaded once per thread. */

import { PermafrostError } from '../protocol/errors.js';
import { type ChatTemplate, readChatTemplate } from './chat-template.js';
import { readJsonFile, readTextFile } from './checkpoint-files.js';
import type { StartEncoder } from './encoder.js';
import { startRustTokenizer } from './rust-tokenizer.js';
import {
  addedTokensSchema,
  collectSpecialTokens,
  specialTokensMapSchema,
  tokenizerConfigSchema,
} from './special-tokens.js';
import { loadTokenizer, type Tokenizer } from './tokenizer.js';

/** A checkpoint's tokenizer and chat template. */
export interface TextLayer {
  /** null: a checkpoint for token ids only. */
  readonly tokenizer: Tokenizer | null;
  /** An error when the template is damaged: only chats need it, so only they fail. */
  readonly chatTemplate: ChatTemplate | PermafrostError | null;
}

/**
 * Loads a checkpoint's text files.
 *
 * @param startEncoder Who turns text to ids; by default this process.
 * @throws ERR_TOKENIZER, naming the file, when one is damaged; ERR_FILE when one can't be read.
 */
export async function loadTextLayer(
  folder: string,
  startEncoder: StartEncoder = startRustTokenizer,
): Promise<TextLayer> {
  const [config, map, added, templateFile, toolUseFile] = await Promise.all([
    readJsonFile(folder, 'tokenizer_config.json', tokenizerConfigSchema),
    readJsonFile(folder, 'special_tokens_map.json', specialTokensMapSchema),
    readJsonFile(folder, 'added_tokens.json', addedTokensSchema),
    readTextFile(folder, 'chat_template.jinja'),
    readTextFile(folder, 'additional_chat_templates/tool_use.jinja'),
  ]);
  const specialTokens = collectSpecialTokens({ config, map, added });
  const tokenizer = await loadTokenizer(folder, { config, specialTokens, startEncoder });
  const sources = { file: templateFile, toolUseFile, configured: config?.chat_template };
  try {
    return { tokenizer, chatTemplate: readChatTemplate(sources, specialTokens.named) };
  } catch (error) {
    if (!(error instanceof PermafrostError)) throw error;
    return { tokenizer, chatTemplate: error };
  }
}
