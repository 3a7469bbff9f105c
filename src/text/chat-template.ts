/** A checkpoint's chat template: messages to the text of a prompt. */

import { Template } from '@huggingface/jinja';
import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import type { ChatMessage } from '../protocol/requests.js';
import { damaged, messageOf } from './checkpoint-files.js';
import type { SpecialTokens } from './special-tokens.js';

/** One template, or several by name, of which `default` is for plain conversations. */
const configuredTemplate = z.union([
  z.string(),
  z.array(z.looseObject({ name: z.string(), template: z.string() })),
  z.record(z.string(), z.string()),
]);

/** Where a template may be written: a file of its own goes before tokenizer_config.json. */
interface TemplateSources {
  /** chat_template.jinja */
  readonly file: string | null;
  /** `chat_template` of tokenizer_config.json */
  readonly configured: unknown;
}

interface RenderOptions {
  /** Whether the text ends with the start of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
  /** More variables for the template, such as `enable_thinking`. */
  readonly templateOptions?: Readonly<Record<string, unknown>>;
}

/** A parsed template with the checkpoint's special tokens. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: SpecialTokens['named'];

  /** @throws ERR_TOKENIZER when the template is no Jinja; `fileName` is where it came from. */
  constructor(source: string, fileName: string, tokens: SpecialTokens['named']) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw damaged(fileName, `the chat template: ${messageOf(cause)}`, cause);
    }
    this.#tokens = tokens;
  }

  /**
   * The prompt's text. It carries its own special tokens: encode it without adding more.
   *
   * @throws ERR_TOKENIZER when the template refuses these messages or fails on them.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): string {
    try {
      return this.#template.render({
        ...this.#tokens,
        ...options.templateOptions,
        messages,
        add_generation_prompt: options.addGenerationPrompt,
      });
    } catch (cause) {
      throw new PermafrostError(
        'ERR_TOKENIZER',
        `the chat template failed on these messages: ${messageOf(cause)}`,
        { cause },
      );
    }
  }
}

/**
 * Picks and parses a checkpoint's template; null when it has none.
 *
 * @throws ERR_TOKENIZER, naming the file, when the template is malformed.
 */
export function readChatTemplate(
  { file, configured }: TemplateSources,
  tokens: SpecialTokens['named'],
): ChatTemplate | null {
  if (file !== null) return new ChatTemplate(file, 'chat_template.jinja', tokens);
  if (configured === undefined || configured === null) return null;
  const fileName = 'tokenizer_config.json';
  const parsed = configuredTemplate.safeParse(configured);
  if (!parsed.success) throw damaged(fileName, 'chat_template is neither a text nor a list');
  const source = typeof parsed.data === 'string' ? parsed.data : defaultOf(parsed.data);
  if (source === undefined) throw damaged(fileName, 'chat_template has no entry named "default"');
  return new ChatTemplate(source, fileName, tokens);
}

type NamedTemplates = Exclude<z.output<typeof configuredTemplate>, string>;

function defaultOf(templates: NamedTemplates): string | undefined {
  if (!Array.isArray(templates)) return templates.default;
  return templates.find(({ name }) => name === 'default')?.template;
}
