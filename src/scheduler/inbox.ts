import { RequestQueue } from './request-queue.js';
import type { Sequence } from './sequence.js';

/** Sequences that were sent to one device and have no slot yet, and what they are expected to take. */
export class Inbox extends RequestQueue {
  #numTokens = 0;
  #numBlocks = 0;

  /** Tokens that all of them will have computed. */
  get numTokens(): number {
    return this.#numTokens;
  }

  /** Blocks that all of them will need. */
  get numBlocks(): number {
    return this.#numBlocks;
  }

  /** @param sequence Its `expectedTokens` and `expectedBlocks` are set. */
  override push(sequence: Sequence): void {
    super.push(sequence);
    this.#numTokens += sequence.expectedTokens;
    this.#numBlocks += sequence.expectedBlocks;
  }

  override remove(sequence: Sequence): void {
    super.remove(sequence);
    this.#numTokens -= sequence.expectedTokens;
    this.#numBlocks -= sequence.expectedBlocks;
  }
}
