import { PermafrostError } from '../protocol/errors.js';
import { logprobStride } from '../protocol/logprob-words.js';
import {
  RESULT_HEADER_WORDS,
  RESULT_ROW_WORDS,
  ResultHeader,
  RowFlag,
} from '../protocol/step-block.js';
import type { WordBuffer } from './word-buffer.js';

/** A float32 that is no number. */
const NAN_BITS = 0x7fc00000;

/** What stands in for the log-probabilities of a token that this process has not drawn. */
export function appendNoLogprobs(width: number, out: WordBuffer): void {
  out.push(NAN_BITS);
  for (let rank = 0; rank < width; rank++) out.push(-1);
  for (let rank = 0; rank < width; rank++) out.push(NAN_BITS);
}

/** Reads a step's result in place; one reader serves all results, one after the other. */
export class StepResult {
  #words: Int32Array = new Int32Array(0);
  #numRows = 0;
  #topWidth = -1;

  /** @throws ERR_PROTOCOL when the words are no result. */
  load(words: Int32Array): void {
    const numRows = words[ResultHeader.numRows] ?? -1;
    const topWidth = words[ResultHeader.topWidth] ?? -1;
    const logprobWords = topWidth >= 0 ? numRows * logprobStride(topWidth) : 0;
    if (
      numRows < 0 ||
      words.length !== RESULT_HEADER_WORDS + RESULT_ROW_WORDS * numRows + logprobWords
    ) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `a step's result of ${numRows} rows and width ${topWidth} has ${words.length} words`,
      );
    }
    this.#words = words;
    this.#numRows = numRows;
    this.#topWidth = topWidth;
  }

  get stepId(): number {
    return this.#words[ResultHeader.stepId] ?? 0;
  }

  get numRows(): number {
    return this.#numRows;
  }

  get decodeBatchSize(): number {
    return this.#words[ResultHeader.decodeBatchSize] ?? 0;
  }

  get deviceMicros(): number {
    return this.#words[ResultHeader.deviceMicros] ?? 0;
  }

  get idleMicros(): number {
    return this.#words[ResultHeader.idleMicros] ?? 0;
  }

  slot(row: number): number {
    return this.#words[RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row] ?? -1;
  }

  /** -1: no token was possible. */
  token(row: number): number {
    return this.#words[RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row + 1] ?? -1;
  }

  /** Whether the row has a token, and nothing to say of it. */
  isPlain(row: number): boolean {
    const at = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row;
    return (this.#words[at + 1] ?? -1) >= 0 && this.#words[at + 2] === 0;
  }

  /** Whether the row's token is one of its stop ids. */
  isStopped(row: number): boolean {
    const flags = this.#words[RESULT_HEADER_WORDS + RESULT_ROW_WORDS * row + 2] ?? 0;
    return (flags & RowFlag.stopped) !== 0;
  }

  /**
   * Appends a row's log-probability and its first `width` alternatives: the layout of the result,
   * narrowed to what the row asked for.
   * @throws ERR_PROTOCOL when the result carries fewer.
   */
  copyLogprobs(row: number, width: number, out: WordBuffer): void {
    if (width > this.#topWidth) {
      throw new PermafrostError(
        'ERR_PROTOCOL',
        `a step's result carries ${this.#topWidth} alternatives, ${width} were asked for`,
      );
    }
    const rows = RESULT_HEADER_WORDS + RESULT_ROW_WORDS * this.#numRows;
    const start = rows + row * logprobStride(this.#topWidth);
    const values = start + 1 + this.#topWidth;
    out.append(this.#words.subarray(start, start + 1 + width));
    out.append(this.#words.subarray(values, values + width));
  }
}
