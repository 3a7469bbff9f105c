/**
 * What a tokenizer.json's `decoder` makes of tokens. Text is put together from what each token adds,
 * so that it can be given out while it grows: decoders of which that can't be said are refused.
 *
 * The library decodes a list of tokens in steps. Most steps look at one token, and perhaps at whether
 * it is the first; `ByteFallback` joins runs of byte tokens such as `<0xE2>`, `ByteLevel` and `Fuse`
 * join all.
 */

import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';

/** What one token adds to a text. */
export interface TokenDecoder {
  /** A token's text depends on whether another one goes before it. */
  readonly mindsFirst: boolean;
  /**
   * Bytes that make up text together. Without this, only a run of byte tokens does: it is UTF-8 as
   * a whole, or each of its bytes is a U+FFFD.
   */
  readonly joinsBytes: boolean;
  /** Characters of this kind, at most so many, are dropped from the start of a whole text. */
  readonly dropped: { readonly character: string; readonly max: number };
  /** Spaces of the whole text are cleaned up, see `space-cleanup.ts`. */
  readonly cleansSpaces: boolean;
  /** The byte of a byte token; null for all others. */
  byteOf(token: string): number | null;
  /** The bytes of a token that is none. */
  tokenBytes(token: string, isFirst: boolean): Uint8Array;
  /** What follows for the text of a run of byte tokens. */
  runText(text: string, isFirst: boolean): string;
}

const character = z.string().refine((text) => [...text].length === 1);
const decoderStep = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('ByteLevel') }),
  z.looseObject({
    type: z.literal('Replace'),
    pattern: z.strictObject({ String: z.string().min(1) }),
    content: z.string(),
  }),
  z.looseObject({
    type: z.literal('Metaspace'),
    replacement: character.default('▁'),
    prepend_scheme: z.enum(['always', 'first', 'never']).default('always'),
    add_prefix_space: z.boolean().default(true),
  }),
  z.looseObject({
    type: z.literal('WordPiece'),
    prefix: z.string().default('##'),
    cleanup: z.boolean().default(true),
  }),
  z.looseObject({ type: z.literal('ByteFallback') }),
  z.looseObject({ type: z.literal('Fuse') }),
  z.looseObject({
    type: z.literal('Strip'),
    content: character,
    start: z.int().min(0),
    stop: z.literal(0),
  }),
]);

type DecoderStep = z.output<typeof decoderStep>;
type TextStep = (text: string, isFirst: boolean) => string;

/**
 * Reads the `decoder` of a tokenizer.json, as the library would carry it out.
 *
 * @throws ERR_TOKENIZER for one that is malformed or can't be carried out while a text grows.
 */
export function readTokenDecoder(
  decoder: unknown,
  { fileName, cleansSpaces }: { readonly fileName: string; readonly cleansSpaces: boolean },
): TokenDecoder {
  const chain = new DecoderChain(cleansSpaces);
  // Without a decoder the library writes a space between tokens.
  if (decoder === null || decoder === undefined) chain.addText(spaceBetween, true);
  else for (const step of flatten(decoder, fileName)) addStep(chain, step, fileName);
  return chain;
}

function flatten(decoder: unknown, fileName: string): readonly DecoderStep[] {
  const { type, decoders } = Object(decoder) as { readonly type?: unknown; decoders?: unknown };
  if (type === 'Sequence' && Array.isArray(decoders)) {
    return decoders.flatMap((inner: unknown) => flatten(inner, fileName));
  }
  const step = decoderStep.safeParse(decoder);
  if (step.success) return [step.data];
  throw unsupported(fileName, JSON.stringify(decoder).slice(0, 300));
}

function unsupported(fileName: string, what: string): PermafrostError {
  return new PermafrostError(
    'ERR_TOKENIZER',
    `${fileName}: this decoder is not supported, since its text can't be given out as it grows: ${what}`,
  );
}

function addStep(chain: DecoderChain, step: DecoderStep, fileName: string): void {
  const isPossible = chain.isJoined
    ? step.type === 'Fuse' || (step.type === 'Strip' && chain.dropped.max === 0)
    : !(step.type === 'ByteFallback' && (chain.hasRuns || chain.writesSpaces));
  if (!isPossible) throw unsupported(fileName, `${step.type} at this place`);
  switch (step.type) {
    case 'ByteLevel':
      if (chain.hasRuns) throw unsupported(fileName, 'ByteLevel after ByteFallback');
      chain.joinBytes();
      break;
    case 'ByteFallback':
      chain.joinRuns();
      break;
    case 'Fuse':
      chain.join();
      break;
    case 'Strip':
      if (chain.isJoined) chain.drop(step.content, step.start);
      else chain.addText((text) => stripStart(text, step.content, step.start), false);
      break;
    case 'Replace':
      chain.addText((text) => text.replaceAll(step.pattern.String, () => step.content), false);
      break;
    case 'Metaspace': {
      const isKept = step.prepend_scheme === 'never' || !step.add_prefix_space;
      const space = (isFirst: boolean) => (isFirst && !isKept ? '' : ' ');
      chain.addText((text, isFirst) => text.replaceAll(step.replacement, space(isFirst)), !isKept);
      break;
    }
    case 'WordPiece':
      chain.writesSpaces = true;
      chain.addText((text, isFirst) => {
        const joined = isFirst ? text : joinWordPiece(text, step.prefix);
        return step.cleanup ? cleanWordPiece(joined) : joined;
      }, true);
      break;
  }
}

function spaceBetween(text: string, isFirst: boolean): string {
  return isFirst ? text : ` ${text}`;
}

function stripStart(text: string, stripped: string, max: number): string {
  let rest = text;
  for (let count = 0; count < max && rest.startsWith(stripped); count++) {
    rest = rest.slice(stripped.length);
  }
  return rest;
}

function joinWordPiece(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : ` ${text}`;
}

/** What the library calls clean-up, in its order: it looks at one token at a time. */
const CLEANED: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

function cleanWordPiece(text: string): string {
  return CLEANED.reduce((rest, [pattern, content]) => rest.replaceAll(pattern, content), text);
}

/** The steps of a decoder, in the order in which they are added. */
class DecoderChain implements TokenDecoder {
  readonly cleansSpaces: boolean;
  mindsFirst = false;
  joinsBytes = false;
  dropped = { character: ' ', max: 0 };
  /** All tokens are one text by now. */
  isJoined = false;
  /** Tokens behind the first have got a space before them, which hides a byte token. */
  writesSpaces = false;
  hasRuns = false;
  readonly #beforeRuns: TextStep[] = [];
  readonly #afterRuns: TextStep[] = [];

  constructor(cleansSpaces: boolean) {
    this.cleansSpaces = cleansSpaces;
  }

  addText(step: TextStep, mindsFirst: boolean): void {
    this.mindsFirst ||= mindsFirst;
    (this.hasRuns ? this.#afterRuns : this.#beforeRuns).push(step);
  }

  joinRuns(): void {
    this.hasRuns = true;
  }

  joinBytes(): void {
    this.joinsBytes = true;
    this.isJoined = true;
  }

  join(): void {
    this.isJoined = true;
  }

  drop(dropped: string, max: number): void {
    this.dropped = { character: dropped, max };
  }

  byteOf(token: string): number | null {
    if (!this.hasRuns) return null;
    const text = run(this.#beforeRuns, token, false);
    // The library takes a plus sign for a digit of nothing.
    const digits = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(text)?.[1];
    return digits === undefined ? null : Number.parseInt(digits, 16);
  }

  tokenBytes(token: string, isFirst: boolean): Uint8Array {
    const text = run(this.#afterRuns, run(this.#beforeRuns, token, isFirst), isFirst);
    return this.joinsBytes ? byteLevelBytes(text) : encoder.encode(text);
  }

  runText(text: string, isFirst: boolean): string {
    return run(this.#afterRuns, text, isFirst);
  }
}

function run(steps: readonly TextStep[], token: string, isFirst: boolean): string {
  return steps.reduce((text, step) => step(text, isFirst), token);
}

const encoder = new TextEncoder();
const byteOfCode = byteLevelAlphabet();

/** Byte-level BPE writes each byte as one printable character; other tokens are plain text. */
function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index++) {
    const byte = byteOfCode[token.charCodeAt(index)];
    // A token that some tool added to the vocabulary as plain text.
    if (byte === undefined) return encoder.encode(token);
    bytes[index] = byte;
  }
  return bytes;
}

/**
 * The byte of each character code of byte-level BPE: printable Latin-1 stands for itself, the 68
 * other bytes, in order, for U+0100 and up (GPT-2's `bytes_to_unicode`).
 */
function byteLevelAlphabet(): readonly (number | undefined)[] {
  const byteOf: (number | undefined)[] = new Array(0x144).fill(undefined);
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    byteOf[isPrintable ? byte : next++] = byte;
  }
  return byteOf;
}
