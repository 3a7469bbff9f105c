import { STEP_HEADER_WORDS, StepHeader } from '../protocol/step-block.js';
import { writeAdmission } from './sampling-record.js';
import type { SeenTokens } from './seen-tokens.js';
import type { Sequence } from './sequence.js';
import { WordBuffer } from './word-buffer.js';

/**
 * Gathers one device's next step and encodes it as step-block.ts says. Its sections can be filled
 * in any order and at any time between two steps, and no object is made per token or sequence.
 */
export class StepBlockWriter {
  readonly #released = new WordBuffer();
  readonly #admitted = new WordBuffer();
  readonly #appends = new WordBuffer();
  readonly #copies = new WordBuffer();
  readonly #masks = new WordBuffer();
  readonly #prefills = new WordBuffer();
  readonly #held = new WordBuffer();
  #numAdmitted = 0;
  #numAppends = 0;
  #numMasks = 0;
  #numPrefills = 0;
  #words = new Int32Array(1024);

  /** The sequence's slot stops decoding. */
  release(slot: number): void {
    this.#released.push(slot);
  }

  /** The sequence's slot is its own from this step on; `seen` tells of the tokens it won't compute. */
  admit(sequence: Sequence, seen: SeenTokens): void {
    writeAdmission(this.#admitted, sequence, seen);
    this.#numAdmitted++;
  }

  /** The sequence's blocks from `firstColumn` on are new. */
  append(sequence: Sequence, firstColumn: number): void {
    this.#appends.push(sequence.slot);
    this.#appends.push(firstColumn);
    this.#appends.push(sequence.blocks.length - firstColumn);
    this.#appends.appendFrom(sequence.blocks, firstColumn);
    this.#numAppends++;
  }

  /** The target block starts as what the source block holds before this step computes anything. */
  copy(source: number, target: number): void {
    this.#copies.push(source);
    this.#copies.push(target);
  }

  /** What the sequence draws next is one of the tokens in its mask, if it has one. */
  mask({ slot, mask }: Sequence): void {
    if (mask === null) return;
    this.#masks.push(slot);
    this.#masks.append(mask);
    this.#numMasks++;
  }

  /** Computes the next `count` tokens of prompt and generated; after the last one, draws. */
  prefill(sequence: Sequence, count: number): void {
    const start = sequence.numComputed;
    const end = start + count;
    this.#prefills.push(sequence.slot);
    this.#prefills.push(start);
    this.#prefills.push(count);
    this.#prefills.push(end === sequence.numKnown ? 1 : 0);
    const { promptIds } = sequence.request;
    this.#prefills.append(promptIds.subarray(start, end));
    const generatedStart = Math.max(0, start - promptIds.length);
    const generatedEnd = end - promptIds.length;
    if (generatedEnd > generatedStart) {
      this.#prefills.append(sequence.generated.view(generatedStart, generatedEnd));
    }
    this.#numPrefills++;
  }

  /** The slot sits out this step's decode. */
  hold(slot: number): void {
    this.#held.push(slot);
  }

  /** The step that slots were to sit out is not submitted. */
  clearHeld(): void {
    this.#held.truncate(0);
  }

  /** The step's words, valid until the next call; the writer starts over. */
  finish(stepId: number, numDecode: number): Int32Array {
    const sections = [
      this.#released,
      this.#admitted,
      this.#appends,
      this.#copies,
      this.#masks,
      this.#prefills,
      this.#held,
    ] as const;
    let numWords = STEP_HEADER_WORDS;
    for (const section of sections) numWords += section.length;
    if (numWords > this.#words.length) this.#words = new Int32Array(2 * numWords);
    const words = this.#words.subarray(0, numWords);
    words.fill(0, 0, STEP_HEADER_WORDS);
    words[StepHeader.stepId] = stepId;
    words[StepHeader.numWords] = numWords;
    words[StepHeader.numReleased] = this.#released.length;
    words[StepHeader.numAdmitted] = this.#numAdmitted;
    words[StepHeader.numAppends] = this.#numAppends;
    words[StepHeader.numCopies] = this.#copies.length / 2;
    words[StepHeader.numPrefills] = this.#numPrefills;
    words[StepHeader.numHeld] = this.#held.length;
    words[StepHeader.numDecode] = numDecode;
    words[StepHeader.numMasks] = this.#numMasks;
    let offset = STEP_HEADER_WORDS;
    for (const section of sections) {
      section.copyTo(words, offset, 0, section.length);
      offset += section.length;
      section.truncate(0);
    }
    this.#numAdmitted = 0;
    this.#numAppends = 0;
    this.#numMasks = 0;
    this.#numPrefills = 0;
    return words;
  }
}
