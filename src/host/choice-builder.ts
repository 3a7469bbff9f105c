/**
 * Choices as callers get them, out of the words they came as. A result may have millions of
 * log-probabilities: so the work is done in slices, between which the caller can do something else.
 */

import { logprobStride } from '../protocol/logprob-words.js';
import type { ChoicePiece, NamedTokens } from '../protocol/messages.js';
import type { Choice, ChoiceLogprob, FinishReason, TokenLogprob } from '../protocol/requests.js';

/** Tokens and alternatives that become objects in one slice. */
const SLICE_TOKENS = 256;

export interface GatheredChoice {
  readonly pieces: readonly ChoicePiece[];
  readonly finishReason: FinishReason;
}

export interface GatheredChoices {
  readonly choices: readonly GatheredChoice[];
  /** Of the log-probabilities; null without any. */
  readonly width: number | null;
  readonly names: readonly NamedTokens[];
}

type TokenName = Pick<TokenLogprob, 'bytes' | 'isSpecial'>;

const NO_NAME: TokenName = {};

/** Pauses after each slice. */
export function* buildChoices(gathered: GatheredChoices): Generator<void, Choice[], void> {
  const { choices, width, names } = gathered;
  const builder = new ChoiceBuilder(width);
  yield* builder.learnNames(names);
  const built: Choice[] = [];
  for (const choice of choices) built.push(yield* builder.build(choice));
  return built;
}

class ChoiceBuilder {
  readonly #width: number | null;
  /** Equal ids share one name. */
  readonly #names = new Map<number, TokenName>();
  #numDone = 0;

  constructor(width: number | null) {
    this.#width = width;
  }

  *learnNames(lists: readonly NamedTokens[]): Generator<void, void, void> {
    for (const { tokenIds, bytes, ends, isSpecial } of lists) {
      let start = 0;
      for (let index = 0; index < tokenIds.length; index++) {
        const end = ends[index] ?? start;
        if (end > start) {
          const name = { bytes: Array.from(bytes.subarray(start, end)) };
          const id = tokenIds[index] ?? -1;
          this.#names.set(id, isSpecial[index] === 1 ? { ...name, isSpecial: true } : name);
        }
        start = end;
        if (this.#isSliceOver(1)) yield;
      }
    }
  }

  *build({ pieces, finishReason }: GatheredChoice): Generator<void, Choice, void> {
    const tokenIds: number[] = [];
    const logprobs: ChoiceLogprob[] = [];
    const width = this.#width;
    let text = '';
    for (const piece of pieces) {
      text += piece.text;
      const words = piece.logprobWords ?? NO_WORDS;
      const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
      for (const [index, tokenId] of piece.tokenIds.entries()) {
        tokenIds.push(tokenId);
        if (width !== null) logprobs.push(this.#entry({ words, floats, index, width, tokenId }));
        if (this.#isSliceOver(1 + (width ?? 0))) yield;
      }
    }
    return { text, tokenIds, finishReason, ...(width !== null && { logprobs }) };
  }

  #entry({ words, floats, index, width, tokenId }: EntryPlace): ChoiceLogprob {
    const at = index * logprobStride(width);
    const top: TokenLogprob[] = [];
    for (let rank = at + 1; rank <= at + width; rank++) {
      const id = words[rank] ?? -1;
      if (id >= 0) top.push(this.#named(id, floats[rank + width]));
    }
    return { ...this.#named(tokenId, floats[at]), top };
  }

  #named(tokenId: number, logprob = Number.NaN): TokenLogprob {
    return { tokenId, logprob, ...(this.#names.get(tokenId) ?? NO_NAME) };
  }

  #isSliceOver(numDone: number): boolean {
    this.#numDone += numDone;
    if (this.#numDone < SLICE_TOKENS) return false;
    this.#numDone = 0;
    return true;
  }
}

interface EntryPlace {
  readonly words: Int32Array;
  /** The same words. */
  readonly floats: Float32Array;
  readonly index: number;
  readonly width: number;
  readonly tokenId: number;
}

const NO_WORDS = new Int32Array(0);
