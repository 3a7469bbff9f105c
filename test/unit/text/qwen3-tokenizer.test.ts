import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { Tokenizer as Library } from 'tokenizers';
import { beforeAll, describe, expect, test } from 'vitest';
import type { DetokenizerState } from '../../../src/protocol/text-jobs.js';
import { ChatTemplate } from '../../../src/text/chat-template.js';
import { detokenize, startState } from '../../../src/text/incremental-detokenizer.js';
import { findStop } from '../../../src/text/stop-strings.js';
import { loadTextLayer, type TextLayer } from '../../../src/text/text-layer.js';
import type { Tokenizer } from '../../../src/text/tokenizer.js';
import { qwen3Folder } from './checkpoints.js';

interface Golden {
  readonly encode: readonly { text: string; ids: number[]; decoded: string }[];
  readonly chat: readonly {
    messages: { role: string; content: string }[];
    kwargs: { add_generation_prompt: boolean; enable_thinking?: boolean };
    text: string;
  }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL('../../fixtures/text/qwen3-tokenizer.json', import.meta.url), 'utf8'),
);
// fast-check prints the seed and the path of a failure.
const runs = { seed: 20_250_117, numRuns: 300 };

let layer: TextLayer;
let tokenizer: Tokenizer;
let reference: Library;
let byteTokens: readonly number[];
let samples: readonly (readonly number[])[];

beforeAll(async () => {
  layer = await loadTextLayer(qwen3Folder);
  if (layer.tokenizer === null) throw new Error('Qwen3 has a tokenizer');
  tokenizer = layer.tokenizer;
  reference = Library.fromFile(join(qwen3Folder, 'tokenizer.json'));
  byteTokens = findByteTokens();
  const texts = ['a U+FFFD: \ufffd', '\ufeffmark', '👩‍👩‍👧‍👦', '数学', '<think>'];
  samples = await Promise.all(texts.map(plainIds));
});

describe('the reference cases', () => {
  test.each(golden.encode)('encode and decode $text', async ({ text, ids, decoded }) => {
    expect([...(await tokenizer.encode(text, { addSpecialTokens: true }))]).toEqual(ids);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded);
  });

  test.each(golden.chat)('render the chat template %#', ({ messages, kwargs, text }) => {
    const { add_generation_prompt: addGenerationPrompt, ...templateOptions } = kwargs;
    expect(layer.chatTemplate).toBeInstanceOf(ChatTemplate);
    const template = layer.chatTemplate as ChatTemplate;
    expect(template.render(messages, { addGenerationPrompt, templateOptions })).toBe(text);
  });

  test('the end-of-sequence id and the size of the vocabulary are known', () => {
    expect(tokenizer.eosTokenIds).toEqual([151_645]);
    expect(tokenizer.vocabSize).toBe(151_669);
  });
});

/** Ids of the 256 tokens that are one byte each. */
function findByteTokens(): readonly number[] {
  const ids: number[] = [];
  for (let id = 0; id < 1000; id++) {
    const bytes = tokenizer.textBytes.get(id);
    if (bytes.length === 1) ids[bytes[0] ?? 0] = id;
  }
  expect(ids.filter((id) => id !== undefined)).toHaveLength(256);
  return ids;
}

async function plainIds(text: string): Promise<number[]> {
  return [...(await tokenizer.encode(text, { addSpecialTokens: false }))];
}

/** Any ids: ordinary, single bytes (cut and invalid UTF-8), special, added, outside. */
function anyIds(): fc.Arbitrary<number[]> {
  const bytes = byteTokens;
  const utf8 = fc
    .string({ unit: 'binary', maxLength: 6 })
    .map((text) => Array.from(new TextEncoder().encode(text), (byte) => bytes[byte] ?? 0));
  const part = fc.oneof(
    fc.nat({ max: 151_642 }).map((id) => [id]),
    fc.constantFrom(...bytes).map((id) => [id]),
    utf8,
    fc.integer({ min: 151_643, max: 151_935 }).map((id) => [id]),
    fc.constantFrom(...samples).map((ids) => [...ids]),
  );
  return fc.array(part, { maxLength: 24 }).map((parts) => parts.flat());
}

/** Ids cut into rows at random places. */
function anyRows(): fc.Arbitrary<{ ids: number[]; rows: number[][] }> {
  return fc
    .tuple(anyIds(), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 40 }))
    .map(([ids, sizes]) => {
      const rows: number[][] = [];
      let start = 0;
      for (const size of sizes) {
        rows.push(ids.slice(start, start + size));
        start += size;
      }
      rows.push(ids.slice(start));
      return { ids, rows };
    });
}

interface Streamed {
  readonly chunks: readonly string[];
  readonly numTokens: number | null;
}

/** Runs the rows through the detokenizer; each state travels as a message between threads does. */
function stream(rows: readonly number[][], stop: readonly string[] = [], minTokens = 0): Streamed {
  const table = tokenizer.textBytes;
  let state: DetokenizerState = startState(table);
  let numTokens: number | null = null;
  const chunks = rows.map((tokenIds, index) => {
    const isLast = index === rows.length - 1;
    const row = { tokenIds, isLast, stop, minTokens };
    const output = detokenize(table, structuredClone(state), row);
    state = output.state;
    if (output.stopped !== undefined) numTokens = output.stopped.numTokens;
    return output.text;
  });
  return { chunks, numTokens };
}

const isWellFormed = (text: string) => !/\p{Surrogate}/u.test(text);

describe('the detokenizer', () => {
  test('decodes everything as the library does', async () => {
    const property = fc.asyncProperty(anyIds(), async (ids) => {
      for (const skipSpecialTokens of [true, false]) {
        const expected = await reference.decode(ids, skipSpecialTokens);
        expect(tokenizer.decode(ids, { skipSpecialTokens })).toBe(expected);
      }
    });
    await fc.assert(property, runs);
  });

  test('gives the same text in pieces, and every piece is well-formed', () => {
    const property = fc.property(anyRows(), ({ ids, rows }) => {
      const { chunks } = stream(rows);
      expect(chunks.join('')).toBe(tokenizer.decode(ids));
      expect(chunks.every(isWellFormed)).toBe(true);
    });
    fc.assert(property, runs);
  });

  test('a U+FFFD that was generated survives, one for an unfinished sequence waits', async () => {
    const real = await plainIds('\ufffd');
    expect(stream([[...real], []]).chunks).toEqual(['\ufffd', '']);
    const [first = 0, ...rest] = [0xf0, 0x9f, 0x98, 0x80].map((byte) => byteTokens[byte] ?? 0);
    expect(stream([[first], rest, []]).chunks).toEqual(['', '😀', '']);
    expect(stream([[first], [], []]).chunks).toEqual(['', '', '\ufffd']);
  });

  test('stops at the same place however the tokens were cut', () => {
    const scenario = anyRows().chain(({ ids, rows }) => {
      const text = tokenizer.decode(ids);
      const piece = fc.tuple(fc.nat({ max: text.length }), fc.integer({ min: 1, max: 5 }));
      const fromText = piece.map(([start, length]) => text.slice(start, start + length));
      const stop = fc.array(fc.oneof(fromText, fc.string({ minLength: 1, maxLength: 3 })), {
        maxLength: 4,
      });
      return fc.record({ ids: fc.constant(ids), rows: fc.constant(rows), stop });
    });
    const property = fc.property(scenario, ({ ids, rows, stop }) => {
      const usable = stop.filter((text) => text !== '' && isWellFormed(text));
      const whole = tokenizer.decode(ids);
      const match = findStop(whole, usable);
      const { chunks, numTokens } = stream(rows, usable);
      expect(chunks.join('')).toBe(match === null ? whole : whole.slice(0, match.start));
      expect(chunks.every(isWellFormed)).toBe(true);
      expect(numTokens).toBe(match === null ? null : tokensNeeded(ids, usable));
    });
    fc.assert(property, runs);
  });
});

describe('stop strings after a minimum of tokens', () => {
  test('what the first tokens complete does not count, what the next one completes does', async () => {
    const ids = (await Promise.all(['a', 'b', 'a', 'b'].map(plainIds))).flat();
    const rows = ids.map((id) => [id]);
    const ended = (stop: string, minTokens: number) => {
      const { chunks, numTokens } = stream(rows, [stop], minTokens);
      return [chunks.join(''), numTokens];
    };
    expect(ended('a', 0)).toEqual(['', 1]);
    expect(ended('a', 1)).toEqual(['ab', 3]);
    expect(ended('ab', 1)).toEqual(['', 2]);
    expect(ended('ab', 2)).toEqual(['ab', 4]);
    expect(ended('ba', 2)).toEqual(['a', 3]);
    expect(ended('ab', 4)).toEqual(['abab', null]);
  });

  test('a longer one that may follow does not bring a shorter one back that was passed', async () => {
    const rows = await Promise.all(['a', 'b', 'x'].map(plainIds));
    expect(stream(rows, ['abcd', 'b'], 2)).toEqual({ chunks: ['', '', 'abx'], numTokens: null });
  });

  test('hold at the same place however the tokens were cut', () => {
    const scenario = fc.record({
      cut: anyRows(),
      minTokens: fc.nat({ max: 12 }),
      stop: fc.array(fc.constantFrom('a', ' ', 'the', '\n', 'é', '0'), { maxLength: 3 }),
    });
    const property = fc.property(scenario, ({ cut: { ids, rows }, minTokens, stop }) => {
      const singly = stream([...ids.map((id) => [id]), []], stop, minTokens);
      const { chunks, numTokens } = stream(rows, stop, minTokens);
      expect([chunks.join(''), numTokens]).toEqual([singly.chunks.join(''), singly.numTokens]);
      if (numTokens !== null) expect(numTokens).toBeGreaterThan(minTokens);
    });
    fc.assert(property, runs);
  });
});

/** The smallest number of first tokens whose certain text has a stop string; all, if only the end has. */
function tokensNeeded(ids: readonly number[], stop: readonly string[]): number {
  const table = tokenizer.textBytes;
  for (let count = 0; count <= ids.length; count++) {
    const row = { tokenIds: ids.slice(0, count), isLast: false };
    const { text } = detokenize(table, startState(table), row);
    if (findStop(text, stop) !== null) return count;
  }
  return ids.length;
}
