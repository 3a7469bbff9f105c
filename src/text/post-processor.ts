/**
 * The tokens that a tokenizer puts around a text: what the `post_processor` of tokenizer.json has,
 * and what `add_bos_token` and `add_eos_token` of tokenizer_config.json say of it.
 */

import * as z from 'zod';
import { refused } from './checkpoint-errors.js';

/** One end of a text. */
export interface TextEnd {
  readonly name: 'bos_token' | 'eos_token';
  readonly content: string | undefined;
  /** null, undefined: whatever tokenizer.json says. */
  readonly isAdded: boolean | null | undefined;
}

export interface TextEnds {
  readonly bos: TextEnd;
  readonly eos: TextEnd;
  idOf(content: string): number | undefined;
}

type Side = 'first' | 'last';

const piece = z.union([
  z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }) }),
  z.looseObject({ Sequence: z.looseObject({ id: z.string() }) }),
]);
const template = z.looseObject({ type: z.literal('TemplateProcessing'), single: z.array(piece) });
const classified = z.looseObject({
  type: z.enum(['BertProcessing', 'RobertaProcessing']),
  sep: z.tuple([z.string(), z.number()]),
  cls: z.tuple([z.string(), z.number()]),
});
const byteLevel = z.looseObject({ type: z.literal('ByteLevel') });
const single = z.discriminatedUnion('type', [template, classified, byteLevel]);
const sequence = z.looseObject({ type: z.literal('Sequence'), processors: z.array(single) });
const anyProcessor = z.union([sequence, single]).nullish();

type Processor = z.output<typeof single>;
type Piece = z.output<typeof piece>;

/**
 * The post-processor that carries out both: the given one where it does already.
 *
 * @throws ERR_TOKENIZER when that can't be done.
 */
export function readPostProcessor(given: unknown, { bos, eos, idOf }: TextEnds): unknown {
  if (typeof bos.isAdded !== 'boolean' && typeof eos.isAdded !== 'boolean') return given;
  const parsed = anyProcessor.safeParse(given);
  // The library says what is wrong with it.
  if (!parsed.success) return given;
  const own = parsed.data ?? null;
  const before = own === null ? [] : own.type === 'Sequence' ? own.processors : [own];
  let processors: readonly Processor[] = before;
  for (const [end, side] of [[bos, 'first'] as const, [eos, 'last'] as const]) {
    if (end.isAdded === true) processors = withToken(processors, end, side, idOf);
    else if (end.isAdded === false) processors = withoutToken(processors, end, side);
  }
  return processors === before ? given : { type: 'Sequence', processors };
}

function withToken(
  processors: readonly Processor[],
  { name, content }: TextEnd,
  side: Side,
  idOf: TextEnds['idOf'],
): readonly Processor[] {
  if (content === undefined) {
    throw refused('tokenizer_config.json', `add_${name}: true without a ${name}`);
  }
  if (outermost(processors, side) === content) return processors;
  const id = idOf(content);
  if (id === undefined) {
    const what = `add_${name}: true, since the vocabulary has no ${JSON.stringify(content)}`;
    throw refused('tokenizer_config.json', what);
  }
  const token: Piece = { SpecialToken: { id: content, type_id: 0 } };
  const text = (sequenceId: string, type_id: number): Piece => ({
    Sequence: { id: sequenceId, type_id },
  });
  const around = (pieces: readonly Piece[]): Piece[] =>
    side === 'first' ? [token, ...pieces] : [...pieces, token];
  const added: Processor = {
    type: 'TemplateProcessing',
    single: around([text('A', 0)]),
    pair: around([text('A', 0), text('B', 1)]),
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  };
  return [...processors, added];
}

function withoutToken(
  processors: readonly Processor[],
  { name, content }: TextEnd,
  side: Side,
): readonly Processor[] {
  if (content === undefined || outermost(processors, side) !== content) return processors;
  return processors.map((processor) => {
    if (edge(processor, side) !== content) return processor;
    if (processor.type === 'TemplateProcessing') {
      const { single: pieces } = processor;
      return { ...processor, single: side === 'first' ? pieces.slice(1) : pieces.slice(0, -1) };
    }
    throw refused('tokenizer_config.json', `add_${name}: false with ${processor.type}`);
  });
}

/** The token at one end of a processed text; undefined when the text itself is there. */
function outermost(processors: readonly Processor[], side: Side): string | undefined {
  return processors
    .toReversed()
    .map((processor) => edge(processor, side))
    .find(isText);
}

function edge(processor: Processor, side: Side): string | undefined {
  if (processor.type === 'ByteLevel') return undefined;
  if (processor.type !== 'TemplateProcessing') {
    return side === 'first' ? processor.cls[0] : processor.sep[0];
  }
  const found = side === 'first' ? processor.single[0] : processor.single.at(-1);
  const special =
    found === undefined || !('SpecialToken' in found) ? undefined : found.SpecialToken;
  return (special as { readonly id: string } | undefined)?.id;
}

function isText(value: string | undefined): value is string {
  return value !== undefined;
}
