import type { Sequence } from './sequence.js';
import { WordBuffer } from './word-buffer.js';

/** Bit 31 of a count: the token is in the prompt. The bits below say how often it was generated. */
const IN_PROMPT = 0x80000000 | 0;

/** The distinct tokens of a sequence's first positions, counted as penalties need them. */
export class SeenTokens {
  /** By token id; all zero between two calls of {@link collect}. */
  readonly #counts: Int32Array;
  readonly #tokens = new WordBuffer();

  constructor(vocabSize: number) {
    this.#counts = new Int32Array(vocabSize);
  }

  /** Distinct tokens found. */
  get size(): number {
    return this.#tokens.length;
  }

  clear(): void {
    for (const token of this.#tokens.view()) this.#counts[token] = 0;
    this.#tokens.truncate(0);
  }

  /**
   * Takes in the first `numTokens` tokens of a sequence, up to `maxDistinct` different ones.
   * @returns how many tokens were taken in: fewer when the next one would be one too many.
   */
  collect(sequence: Sequence, numTokens: number, maxDistinct: number): number {
    this.clear();
    const promptLength = sequence.request.promptIds.length;
    for (let position = 0; position < numTokens; position++) {
      const token = sequence.tokenAt(position);
      const count = this.#counts[token] ?? 0;
      if (count === 0) {
        if (this.#tokens.length === maxDistinct) return position;
        this.#tokens.push(token);
      }
      this.#counts[token] = position < promptLength ? count | IN_PROMPT : count + 1;
    }
    return numTokens;
  }

  /** Appends (token, count) pairs. */
  write(out: WordBuffer): void {
    for (const token of this.#tokens.view()) {
      out.push(token);
      out.push(this.#counts[token] ?? 0);
    }
  }
}
