/**
 * Whether a tokenizer puts a space before a text: `add_prefix_space` of tokenizer_config.json, and
 * the components of tokenizer.json that do it.
 */

import * as z from 'zod';
import type { TokenizerConfig } from './special-tokens.js';

/** The sections that have to do with that space. */
interface SpaceSections {
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly decoder: unknown;
}

const component = z.looseObject({ type: z.string() });
const byteLevel = z.looseObject({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.boolean().default(true),
});
const metaspace = z.looseObject({
  type: z.literal('Metaspace'),
  prepend_scheme: z.string().optional(),
  add_prefix_space: z.boolean().optional(),
});
const prepend = z.looseObject({ type: z.literal('Prepend') });
const strip = z.looseObject({ type: z.literal('Strip'), start: z.number() });
const listNames = ['normalizers', 'pretokenizers', 'decoders'] as const;

type Component = z.output<typeof component>;

/**
 * The sections with the space that the configuration wants, or the same ones: where something comes
 * before the component that could put it there, tokenizer.json decides, as in `transformers`.
 */
export function readPrefixSpace<Sections extends SpaceSections>(
  sections: Sections,
  { add_prefix_space: isWanted, legacy }: TokenizerConfig,
): Sections {
  if (typeof isWanted !== 'boolean') return sections;
  const { normalizer, pre_tokenizer, decoder } = sections;
  if (hasPrefixSpace(normalizer, pre_tokenizer) === isWanted) return sections;
  const own = component.safeParse(pre_tokenizer);
  const alone = own.success ? own.data : null;
  if (isWanted && alone?.type !== 'ByteLevel' && alone?.type !== 'Metaspace') return sections;
  const scheme = !isWanted ? 'never' : legacy === false ? 'first' : 'always';
  const change = (part: Component): Component | null => {
    if (part.type === 'ByteLevel') return { ...part, add_prefix_space: isWanted };
    if (part.type === 'Metaspace') {
      return { ...part, add_prefix_space: isWanted, prepend_scheme: scheme };
    }
    return part.type === 'Prepend' ? null : part;
  };
  const undo = (part: Component): Component | null => {
    if (part.type === 'Metaspace') return change(part);
    return !isWanted && strip.safeParse(part).success ? null : part;
  };
  return {
    ...sections,
    normalizer: isWanted ? normalizer : changeParts(normalizer, change),
    pre_tokenizer: changeParts(pre_tokenizer, change),
    // A space that isn't put there must not be taken away, and one that is must be.
    decoder: isWanted ? withStrip(changeParts(decoder, undo)) : changeParts(decoder, undo),
  };
}

/** A decoder that joins all tokens and takes nothing away, with a step that takes the first space. */
function withStrip(decoder: unknown): unknown {
  const parsed = component.safeParse(decoder);
  if (!parsed.success || parsed.data.type !== 'Sequence') return decoder;
  const decoders = listOf(parsed.data);
  const last = component.safeParse(decoders.at(-1));
  if (!last.success || last.data.type !== 'Fuse') return decoder;
  const stripped = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return { ...parsed.data, decoders: [...decoders, stripped] };
}

/** Whether a space comes before a text now. */
function hasPrefixSpace(normalizer: unknown, preTokenizer: unknown): boolean {
  if (partsOf(normalizer).some((part) => prepend.safeParse(part).success)) return true;
  return partsOf(preTokenizer).some((part) => {
    const level = byteLevel.safeParse(part);
    if (level.success) return level.data.add_prefix_space;
    const meta = metaspace.safeParse(part);
    if (!meta.success || meta.data.add_prefix_space === false) return false;
    return meta.data.prepend_scheme !== 'never';
  });
}

/** The components of a section: itself, or those of a sequence. */
function partsOf(section: unknown): readonly Component[] {
  const parsed = component.safeParse(section);
  if (!parsed.success) return [];
  if (parsed.data.type !== 'Sequence') return [parsed.data];
  return listOf(parsed.data).flatMap((part) => partsOf(part));
}

function listOf(sequence: Component): readonly unknown[] {
  for (const name of listNames) {
    const list = sequence[name];
    if (Array.isArray(list)) return list;
  }
  return [];
}

function changeParts(section: unknown, change: (part: Component) => Component | null): unknown {
  const parsed = component.safeParse(section);
  if (!parsed.success) return section;
  if (parsed.data.type !== 'Sequence') return change(parsed.data);
  const name = listNames.find((candidate) => Array.isArray(parsed.data[candidate]));
  if (name === undefined) return section;
  const list = listOf(parsed.data).map((part) => changeParts(part, change));
  return { ...parsed.data, [name]: list.filter((part) => part !== null) };
}
