/**
 * What a tokenizer.json's `decoder` makes of one token: its bytes. Text is decoded from bytes and
 * not from token strings, because a token may end inside a UTF-8 sequence, and U+FFFD in a decoded
 * token string can be a cut sequence or a real character.
 */

import * as z from 'zod';
import { PermafrostError } from '../protocol/errors.js';

/** Turns tokens to bytes, and says how many leading spaces of a whole text to remove. */
export interface TokenDecoder {
  readonly spacesToDrop: number;
  /** Bytes of a token of the vocabulary. */
  tokenBytes(token: string): Uint8Array;
  /** Bytes of an added token, given by its content. */
  addedTokenBytes(content: string): Uint8Array;
}

const decoderStep = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('ByteLevel') }),
  z.looseObject({
    type: z.literal('Replace'),
    pattern: z.strictObject({ String: z.string().min(1) }),
    content: z.string(),
  }),
  z.looseObject({
    type: z.literal('Metaspace'),
    replacement: z.string().min(1).default('▁'),
    prepend_scheme: z.enum(['always', 'first', 'never']).default('always'),
  }),
  z.looseObject({ type: z.literal('ByteFallback') }),
  z.looseObject({ type: z.literal('Fuse') }),
  z.looseObject({
    type: z.literal('Strip'),
    content: z.literal(' '),
    start: z.int().min(0),
    stop: z.literal(0),
  }),
]);
const decoderSequence = z.looseObject({
  type: z.literal('Sequence'),
  decoders: z.array(decoderStep),
});

type DecoderStep = z.infer<typeof decoderStep>;

/**
 * Reads the `decoder` of a tokenizer.json: byte-level BPE (Qwen, Llama 3) or the chain that
 * sentencepiece tokenizers are converted to (Llama 2, Mistral): replace `▁`, byte fallback, fuse,
 * strip. Other decoders are refused.
 *
 * @throws ERR_TOKENIZER for a decoder that is malformed or of another kind.
 */
export function readTokenDecoder(decoder: unknown, fileName: string): TokenDecoder {
  const steps = readSteps(decoder, fileName);
  if (steps.some((step) => step.type === 'ByteLevel')) {
    if (steps.length > 1) throw unsupported(fileName, 'ByteLevel combined with other decoders');
    return byteLevelDecoder();
  }
  return sentencepieceDecoder(steps, fileName);
}

function readSteps(decoder: unknown, fileName: string): readonly DecoderStep[] {
  const sequence = decoderSequence.safeParse(decoder);
  if (sequence.success) return sequence.data.decoders;
  const single = decoderStep.safeParse(decoder);
  if (single.success) return [single.data];
  throw unsupported(fileName, JSON.stringify(decoder ?? null).slice(0, 300));
}

function unsupported(fileName: string, what: string): PermafrostError {
  return new PermafrostError(
    'ERR_TOKENIZER',
    `${fileName}: this decoder is not supported: ${what}; use a byte-level or sentencepiece BPE`,
  );
}

/** Byte-level BPE writes each byte as one printable character; added tokens are plain text. */
function byteLevelDecoder(): TokenDecoder {
  const byteOf = byteLevelAlphabet();
  return {
    spacesToDrop: 0,
    tokenBytes(token) {
      const bytes = new Uint8Array(token.length);
      for (let index = 0; index < token.length; index++) {
        const byte = byteOf[token.charCodeAt(index)];
        // A token that some tool added to the vocabulary as plain text.
        if (byte === undefined) return encodeUtf8(token);
        bytes[index] = byte;
      }
      return bytes;
    },
    addedTokenBytes: encodeUtf8,
  };
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

function sentencepieceDecoder(steps: readonly DecoderStep[], fileName: string): TokenDecoder {
  const replacements: { readonly pattern: string; readonly content: string }[] = [];
  let hasByteFallback = false;
  let isFused = false;
  let spacesToDrop = 0;
  for (const step of steps) {
    // Only this order makes the text a function of each token's own bytes.
    const isTooLate = (step.type === 'Replace' || step.type === 'Metaspace') && hasByteFallback;
    if (isFused !== (step.type === 'Strip') || isTooLate) {
      throw unsupported(fileName, `${step.type} at this place`);
    }
    switch (step.type) {
      case 'Replace':
        replacements.push({ pattern: step.pattern.String, content: step.content });
        break;
      case 'Metaspace':
        replacements.push({ pattern: step.replacement, content: ' ' });
        if (step.prepend_scheme !== 'never') spacesToDrop = 1;
        break;
      case 'ByteFallback':
        hasByteFallback = true;
        break;
      case 'Fuse':
        isFused = true;
        break;
      case 'Strip':
        spacesToDrop += step.start;
        break;
      default:
        throw unsupported(fileName, `${step.type} at this place`);
    }
  }
  const tokenBytes = (token: string): Uint8Array => {
    const byte = hasByteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    return encodeUtf8(
      replacements.reduce((text, { pattern, content }) => text.replaceAll(pattern, content), token),
    );
  };
  return { spacesToDrop, tokenBytes, addedTokenBytes: tokenBytes };
}

const encoder = new TextEncoder();

function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}
