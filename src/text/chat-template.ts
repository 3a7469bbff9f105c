/** A checkpoint's chat template: messages to the text of a prompt. */

import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import type { ChatMessage } from '../protocol/requests.js';
import { damaged } from './checkpoint-errors.js';
import { messageOf } from './checkpoint-files.js';
import { TemplateLimitError } from './jinja/budget.js';
import { Template } from './jinja/template.js';
import type { SpecialTokens } from './special-tokens.js';

/** One template, or several by name. */
const configuredTemplate = z.union([
  z.string(),
  z.array(z.looseObject({ name: z.string(), template: z.string() })),
  z.record(z.string(), z.string()),
]);

/** Where a template may be written: a file of its own goes before tokenizer_config.json. */
interface TemplateSources {
  /** chat_template.jinja */
  readonly file: string | null;
  /** additional_chat_templates/tool_use.jinja */
  readonly toolUseFile?: string | null;
  /** `chat_template` of tokenizer_config.json */
  readonly configured: unknown;
}

interface TemplateSource {
  readonly text: string;
  /** Where it came from. */
  readonly fileName: string;
}

interface RenderOptions {
  /** Whether the text ends with the start of the assistant's answer. */
  readonly addGenerationPrompt: boolean;
  /** More variables for the template, such as `enable_thinking`. */
  readonly templateOptions?: Readonly<Record<string, unknown>>;
  /** Less than the template's own limit. */
  readonly timeoutMs?: number;
}

/** What one rendering may cost. */
export interface TemplateLimits {
  readonly timeoutMs: number;
  /** Characters of the text, and of any other text on the way to it. */
  readonly maxLength: number;
}

const DEFAULT_TEMPLATE_LIMITS: TemplateLimits = { timeoutMs: 2000, maxLength: 1 << 24 };

/** A checkpoint's parsed templates with its special tokens. */
export class ChatTemplate {
  readonly #template: Template;
  /** For conversations with tools. An error: it can't be used, and nobody may need it. */
  readonly #toolUse: Template | PermafrostError;
  readonly #tokens: SpecialTokens['named'];
  readonly #limits: TemplateLimits;

  /**
   * @param toolUse Another template for conversations with tools; null: the same one.
   * @throws ERR_TOKENIZER when the template is no Jinja, or has what is not supported.
   */
  constructor(
    source: TemplateSource,
    toolUse: TemplateSource | null,
    tokens: SpecialTokens['named'],
    limits = DEFAULT_TEMPLATE_LIMITS,
  ) {
    this.#template = parse(source);
    this.#toolUse = toolUse === null ? this.#template : parseOrError(toolUse);
    this.#tokens = tokens;
    this.#limits = limits;
  }

  /**
   * The prompt's text. It carries its own special tokens: encode it without adding more. The
   * variables are those that transformers' `apply_chat_template` gives.
   *
   * @throws ERR_TOKENIZER when the template refuses these messages or fails on them;
   *   ERR_TEXT_LIMIT when it takes too long or writes too much.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions): string {
    const { templateOptions = {}, timeoutMs = this.#limits.timeoutMs } = options;
    const hasTools = (templateOptions.tools ?? null) !== null;
    const template = hasTools ? this.#toolUse : this.#template;
    if (template instanceof PermafrostError) throw template;
    try {
      return template.render(
        {
          ...this.#tokens,
          tools: null,
          documents: null,
          ...templateOptions,
          messages,
          add_generation_prompt: options.addGenerationPrompt,
        },
        { ...this.#limits, timeoutMs, now: monotonicMs },
      );
    } catch (cause) {
      const code = cause instanceof TemplateLimitError ? 'ERR_TEXT_LIMIT' : 'ERR_TOKENIZER';
      const message = `the chat template failed on these messages: ${messageOf(cause)}`;
      throw new PermafrostError(code, message, { cause });
    }
  }
}

function parse({ text, fileName }: TemplateSource): Template {
  try {
    return new Template(text);
  } catch (cause) {
    throw damaged(fileName, `the chat template: ${messageOf(cause)}`, cause);
  }
}

function parseOrError(source: TemplateSource): Template | PermafrostError {
  try {
    return parse(source);
  } catch (error) {
    if (error instanceof PermafrostError) return error;
    throw error;
  }
}

/**
 * Picks and parses a checkpoint's template; null when it has none.
 *
 * @throws ERR_TOKENIZER, naming the file, when the template is malformed.
 */
export function readChatTemplate(
  { file, toolUseFile = null, configured }: TemplateSources,
  tokens: SpecialTokens['named'],
  limits = DEFAULT_TEMPLATE_LIMITS,
): ChatTemplate | null {
  if (file !== null) {
    const toolUse = toolUseFile === null ? null : { text: toolUseFile, fileName: 'tool_use.jinja' };
    return new ChatTemplate(
      { text: file, fileName: 'chat_template.jinja' },
      toolUse,
      tokens,
      limits,
    );
  }
  if (configured === undefined || configured === null) return null;
  const fileName = 'tokenizer_config.json';
  const parsed = configuredTemplate.safeParse(configured);
  if (!parsed.success) throw damaged(fileName, 'chat_template is neither a text nor a list');
  const named = byName(parsed.data);
  const text = named.get('default');
  if (text === undefined) throw damaged(fileName, 'chat_template has no entry named "default"');
  const toolUse = named.get('tool_use');
  return new ChatTemplate(
    { text, fileName },
    toolUse === undefined ? null : { text: toolUse, fileName },
    tokens,
    limits,
  );
}

function byName(templates: z.output<typeof configuredTemplate>): ReadonlyMap<string, string> {
  if (typeof templates === 'string') return new Map([['default', templates]]);
  if (!Array.isArray(templates)) return new Map(Object.entries(templates));
  return new Map(templates.map(({ name, template }) => [name, template]));
}
