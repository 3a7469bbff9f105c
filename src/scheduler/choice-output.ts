import { logprobStride } from '../protocol/logprob-words.js';
import type { ChoiceRecord, ChunkRecord, ResumedChoice } from '../protocol/messages.js';
import type { DecodeRow, DetokenizeRow, DetokenizerState } from '../protocol/text-jobs.js';
import type { Sequence } from './sequence.js';

/** So many of a prompt's ids tell whether there is text before an answer. */
const NUM_IDS_BEFORE = 32;

type GivenRow = { readonly state: DetokenizerState; readonly text: string };

/** The text of one choice, on its way from ids. */
export class ChoiceOutput {
  readonly sequence: Sequence;
  text = '';
  /** In a text job, or waiting for one. */
  isQueued = false;
  /** Its text is complete. */
  isDone = false;
  /** A stop string ended it, so its last token belongs to the text. */
  hasStopHit = false;
  readonly #stop: readonly string[];
  #state: DetokenizerState | null = null;
  #numDetokenized = 0;
  #numReported = 0;
  /** Characters at the front of the text that were reported by the process before this one. */
  #numKnownCharacters = 0;
  /** The row under way is the last one. */
  #isLastRow = false;

  /** @param resumed What was reported of it before; one that had ended gets no text here. */
  constructor(sequence: Sequence, stop: readonly string[], resumed?: ResumedChoice) {
    this.sequence = sequence;
    this.#stop = stop;
    if (resumed === undefined) return;
    this.#numReported = resumed.tokenIds.length;
    this.#numKnownCharacters = resumed.textLength;
    this.isDone = resumed.finishReason !== null;
  }

  /** The number of tokens that make up the text: without the id that ended it. */
  get numTextTokens(): number {
    const { finishReason, generated } = this.sequence;
    const endsWithId = finishReason === 'stop' && !this.hasStopHit;
    return endsWithId ? generated.length - 1 : generated.length;
  }

  /** Whether there is something for the detokenizer. */
  get hasNews(): boolean {
    if (this.isDone) return false;
    return this.sequence.finishReason !== null || this.numTextTokens > this.#numDetokenized;
  }

  /** What came since the last row. */
  takeRow(): DetokenizeRow {
    const end = this.numTextTokens;
    // A copy: what is posted to a thread travels with all of its buffer.
    const tokenIds = this.sequence.generated.view(this.#numDetokenized, end).slice();
    this.#numDetokenized = end;
    this.#isLastRow = this.sequence.finishReason !== null;
    const { minTokens } = this.sequence.request.params;
    return {
      state: this.#state,
      ...(this.#state === null ? { before: this.#idsBefore() } : {}),
      tokenIds,
      isLast: this.#isLastRow,
      stop: this.#stop,
      minTokens,
    };
  }

  /** Takes in the result of the row that was taken last. */
  giveRow({ state, text }: GivenRow): void {
    this.#state = state;
    this.text += text;
    if (this.#isLastRow) this.isDone = true;
  }

  /** All of the text at once. */
  wholeRow(): DecodeRow {
    const tokenIds = this.sequence.generated.view(0, this.numTextTokens).slice();
    return { before: this.#idsBefore(), tokenIds };
  }

  #idsBefore(): Int32Array {
    return this.sequence.request.promptIds.slice(-NUM_IDS_BEFORE);
  }

  /** What a stream gets to hear after a row that added `text`; null when there is nothing new. */
  takeChunk(text: string): ChunkRecord | null {
    const { generated, request, choice, finishReason } = this.sequence;
    const end = this.isDone ? generated.length : this.#numDetokenized;
    const tokenIds = Array.from(generated.view(this.#numReported, end));
    this.#numReported = Math.max(this.#numReported, end);
    const news = text.slice(this.#numKnownCharacters);
    this.#numKnownCharacters -= text.length - news.length;
    if (this.isDone && finishReason !== null) {
      return { key: request.key, choice, text: news, tokenIds, finishReason };
    }
    if (news === '' && tokenIds.length === 0) return null;
    return { key: request.key, choice, text: news, tokenIds };
  }

  /** The choice as the host gets it: its words in place, since nothing is added to them any more. */
  toChoice(): ChoiceRecord {
    const { sequence, text } = this;
    const { generated, logprobWords } = sequence;
    const width = sequence.request.params.numLogprobs;
    const numWords = generated.length * logprobStride(width);
    return {
      text,
      tokenIds: generated.view(),
      finishReason: sequence.finishReason ?? 'abort',
      ...(width >= 0 && { logprobWords: logprobWords.view(0, numWords) }),
    };
  }
}
