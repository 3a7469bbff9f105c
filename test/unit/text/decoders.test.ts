import fc from 'fast-check';
import { Tokenizer as Library } from 'tokenizers';
import { describe, expect, test } from 'vitest';
import { detokenize, startState } from '../../../src/text/incremental-detokenizer.js';
import { cleanSpaces } from '../../../src/text/space-cleanup.js';
import { findStop } from '../../../src/text/stop-strings.js';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';
import { checkpoint } from './checkpoints.js';
import {
  byteIds,
  DECODERS,
  decodedBy,
  isByteToken,
  NUM_TOKENS,
  REFUSED_DECODERS,
} from './generated-tokenizers.js';

const runs = { seed: 20_250_212, numRuns: 400 };

async function load(file: unknown, config: unknown = {}): Promise<Tokenizer> {
  const folder = await checkpoint({ 'tokenizer.json': file, 'tokenizer_config.json': config });
  const { tokenizer } = await loadTextLayer(folder);
  if (tokenizer === null) throw new Error('it has a tokenizer');
  return tokenizer;
}

const anyIds = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.nat({ max: NUM_TOKENS + 3 }).map((id) => [id]) },
      fc.nat({ max: 42 }).map((id) => [id]),
      fc.constantFrom(0x0a, 0x20, 0x80, 0x9f, 0xc3, 0xe2, 0xf0).map((byte) => byteIds([byte])),
      fc.string({ unit: 'binary', maxLength: 3 }).map((text) => byteIds(Buffer.from(text))),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat());
const anySizes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 20 });

function cut(ids: readonly number[], sizes: readonly number[]): number[][] {
  const rows: number[][] = [];
  let start = 0;
  for (const size of sizes) {
    rows.push(ids.slice(start, start + size));
    start += size;
  }
  return [...rows, ids.slice(start)];
}

interface Streaming {
  readonly before?: readonly number[];
  readonly stop?: readonly string[];
  readonly minTokens?: number;
}

function stream(tokenizer: Tokenizer, rows: readonly number[][], options: Streaming = {}) {
  const table = tokenizer.textBytes;
  let state = startState(table, options.before);
  let numTokens: number | null = null;
  const chunks = rows.map((tokenIds, index) => {
    const row = { ...options, tokenIds, isLast: index === rows.length - 1 };
    const output = detokenize(table, structuredClone(state), row);
    state = output.state;
    if (output.stopped !== undefined) numTokens = output.stopped.numTokens;
    return output.text;
  });
  return { chunks, text: chunks.join(''), numTokens };
}

describe.each(DECODERS)('the decoder %s', (_, decoder) => {
  test('gives the text that the library gives, whole and in pieces', async () => {
    const tokenizer = await load(decodedBy(decoder));
    const library = Library.fromString(JSON.stringify(decodedBy(decoder)));
    const property = fc.asyncProperty(anyIds, anySizes, async (ids, sizes) => {
      for (const skipSpecialTokens of [true, false]) {
        const expected = await library.decode(ids, skipSpecialTokens);
        expect(tokenizer.decode(ids, { skipSpecialTokens })).toBe(expected);
      }
      const { chunks, text } = stream(tokenizer, cut(ids, sizes));
      expect(text).toBe(tokenizer.decode(ids));
      expect(chunks.every((chunk) => chunk.isWellFormed())).toBe(true);
    });
    await fc.assert(property, runs);
  });

  test('glues an answer to the prompt before it', async () => {
    const tokenizer = await load(decodedBy(decoder));
    const library = Library.fromString(JSON.stringify(decodedBy(decoder)));
    const property = fc.asyncProperty(anyIds, anyIds, anySizes, async (before, ids, sizes) => {
      // Bytes on both sides of the seam may be one character, which neither side has alone.
      fc.pre(!isByteRun(before.at(-1)) || !isByteRun(ids[0]));
      const prompt = await library.decode(before, true);
      fc.pre(!prompt.includes('\ufffd') && prompt.trim() !== '' && hasText(before));
      const { text } = stream(tokenizer, cut(ids, sizes), { before });
      const whole = await library.decode([...before, ...ids], true);
      if (!whole.includes('\ufffd')) expect(prompt + text).toBe(whole);
    });
    await fc.assert(property, runs);
  });

  test('stops at the same place however the ids are cut', async () => {
    const tokenizer = await load(decodedBy(decoder));
    const scenario = fc
      .tuple(anyIds, anySizes, fc.nat({ max: 6 }))
      .chain(([ids, sizes, minTokens]) => {
        const text = tokenizer.decode(ids);
        const piece = fc
          .tuple(fc.nat({ max: text.length }), fc.integer({ min: 1, max: 3 }))
          .map(([start, length]) => text.slice(start, start + length))
          .filter((stop) => stop !== '' && stop.isWellFormed());
        const stop = text === '' ? fc.constant(['x']) : fc.array(piece, { maxLength: 3 });
        return stop.map((stops) => ({ ids, sizes, stop: stops, minTokens }));
      });
    const property = fc.property(scenario, ({ ids, sizes, ...options }) => {
      const whole = stream(tokenizer, [ids], options);
      const pieces = stream(tokenizer, cut(ids, sizes), options);
      expect({ ...pieces, chunks: [] }).toEqual({ ...whole, chunks: [] });
      if (options.minTokens > 0) return;
      const text = tokenizer.decode(ids);
      const match = findStop(text, options.stop);
      expect(whole.text).toBe(match === null ? text : text.slice(0, match.start));
      expect(whole.numTokens === null).toBe(match === null);
    });
    fc.assert(property, runs);
  });
});

describe('spaces cleaned up', () => {
  /** As `transformers` does it. */
  const clean = (text: string) =>
    [
      '.| .',
      '?| ?',
      '!| !',
      ',| ,',
      "'| ' ",
      "n't| n't",
      "'m| 'm",
      "'s| 's",
      "'ve| 've",
      "'re| 're",
    ]
      .map((pair) => pair.split('|') as [string, string])
      .reduce((rest, [content, pattern]) => rest.replaceAll(pattern, content), text);
  const parts = [
    ' ',
    '.',
    '?',
    '!',
    ',',
    "'",
    "' ",
    'n',
    "n't",
    "'m",
    's',
    "'v",
    'e',
    'r',
    'x',
    '  ',
  ];
  const anyText = fc.array(fc.constantFrom(...parts), { maxLength: 14 });

  test('are so in pieces as in the whole', () => {
    const property = fc.property(anyText, (pieces) => {
      let uncleaned = '';
      let text = '';
      for (const [index, piece] of pieces.entries()) {
        const cleaned = cleanSpaces(uncleaned + piece, index === pieces.length - 1);
        text += cleaned.text;
        uncleaned = cleaned.rest;
      }
      expect(text).toBe(clean(pieces.join('')));
    });
    fc.assert(property, { ...runs, numRuns: 20_000 });
  });

  test('are those of the configuration, but for BPE', async () => {
    const decoder = { type: 'WordPiece', prefix: '##', cleanup: false };
    const tokenizer = await load(decodedBy(decoder), { clean_up_tokenization_spaces: true });
    const library = Library.fromString(JSON.stringify(decodedBy(decoder)));
    const property = fc.asyncProperty(anyIds, anySizes, async (ids, sizes) => {
      const expected = clean(await library.decode(ids, true));
      expect(tokenizer.decode(ids)).toBe(expected);
      expect(stream(tokenizer, cut(ids, sizes)).text).toBe(expected);
    });
    await fc.assert(property, runs);
  });

  test('of a long run take time in proportion to it', () => {
    const text = `${' '.repeat(1_000_000)}x${' .'.repeat(500_000)}`;
    expect(cleanSpaces(text, false)).toEqual({
      text: text.slice(0, 1_000_001),
      rest: text.slice(1_000_001),
    });
  });
});

/** Bytes on one side of a seam may go on behind it, or behind a special token. */
function isByteRun(id: number | undefined): boolean {
  return id === undefined || isByteToken(id) || id >= NUM_TOKENS - 3;
}

function hasText(ids: readonly number[]): boolean {
  return ids.some((id) => id < NUM_TOKENS - 3);
}

test.each(REFUSED_DECODERS)('a decoder with %s is refused by name', async (name, decoder) => {
  await expect(load(decodedBy(decoder))).rejects.toMatchObject({
    code: 'ERR_TOKENIZER',
    message: expect.stringContaining(name),
  });
});
