/** Outcomes that are too large for a frame, in parts. */

import type {
  ChoicePiece,
  ChoiceRecord,
  NamedTokens,
  OutcomePart,
  OutcomeRecord,
} from '../protocol/messages.js';
import { MAX_FRAME_BYTES } from './frame-queue.js';

const RECORD_BYTES = 96;
const WORD_BYTES = 4;
/** The most that UTF-8 takes for a UTF-16 code unit. */
const CHARACTER_BYTES = 3;
/** Of a part's words, or of its text. */
const MAX_PART_BYTES = MAX_FRAME_BYTES / 4;

export type CompletedRecord = Extract<OutcomeRecord, { readonly choices: unknown }>;

/** About how many bytes an outcome takes in a frame. */
export function outcomeBytes(outcome: OutcomeRecord): number {
  if ('error' in outcome) return RECORD_BYTES + outcome.error.message.length * CHARACTER_BYTES;
  let bytes = RECORD_BYTES;
  for (const choice of outcome.choices) bytes += pieceBytes(choice);
  for (const names of outcome.names ?? []) bytes += namesBytes(names);
  return bytes;
}

function partBytes(part: OutcomePart): number {
  return 'names' in part ? namesBytes(part.names) : pieceBytes(part.piece);
}

function pieceBytes({ text, tokenIds, logprobWords }: ChoicePiece): number {
  const numWords = tokenIds.length + (logprobWords?.length ?? 0);
  return RECORD_BYTES + text.length * CHARACTER_BYTES + numWords * WORD_BYTES;
}

function namesBytes({ tokenIds, bytes }: NamedTokens): number {
  return RECORD_BYTES + bytes.length + tokenIds.length * (2 * WORD_BYTES + 1);
}

/** An outcome on its way in frames, of which each is made when it is to be sent. */
export class PartedOutcome {
  readonly #parts: Generator<OutcomePart, OutcomeRecord, void>;
  #next: IteratorResult<OutcomePart, OutcomeRecord>;

  constructor(outcome: CompletedRecord) {
    this.#parts = partsOf(outcome);
    this.#next = this.#parts.next();
  }

  /** The outcome itself, without what is in the parts; null until all of those are taken. */
  get rest(): OutcomeRecord | null {
    return this.#next.done ? this.#next.value : null;
  }

  /** The parts of the next frame. */
  takeFrame(): readonly OutcomePart[] {
    const frame: OutcomePart[] = [];
    let numBytes = 0;
    while (!this.#next.done) {
      const size = partBytes(this.#next.value);
      if (frame.length > 0 && numBytes + size > MAX_FRAME_BYTES) break;
      frame.push(this.#next.value);
      numBytes += size;
      this.#next = this.#parts.next();
    }
    return frame;
  }
}

function* partsOf(outcome: CompletedRecord): Generator<OutcomePart, OutcomeRecord, void> {
  const { key, choices, usage, names = [] } = outcome;
  for (const list of names) yield { key, names: list };
  for (const [choice, record] of choices.entries()) {
    for (const piece of wordPieces(record)) yield { key, choice, piece };
    for (const piece of textPieces(record)) yield { key, choice, piece };
  }
  return { key, usage, choices: choices.map(emptied) };
}

const NO_WORDS = new Int32Array(0);

function emptied({ finishReason, logprobWords }: ChoiceRecord): ChoiceRecord {
  const logprobs = logprobWords === undefined ? {} : { logprobWords: NO_WORDS };
  return { text: '', tokenIds: NO_WORDS, finishReason, ...logprobs };
}

function* wordPieces({ tokenIds, logprobWords }: ChoiceRecord): Generator<ChoicePiece> {
  const numTokens = tokenIds.length;
  const stride = logprobWords === undefined ? 0 : logprobWords.length / Math.max(1, numTokens);
  const size = Math.max(1, Math.floor(MAX_PART_BYTES / WORD_BYTES / (1 + stride)));
  for (let start = 0; start < numTokens; start += size) {
    const end = Math.min(numTokens, start + size);
    const logprobs =
      logprobWords === undefined
        ? {}
        : { logprobWords: logprobWords.subarray(start * stride, end * stride) };
    yield { text: '', tokenIds: tokenIds.subarray(start, end), ...logprobs };
  }
}

function* textPieces({ text }: ChoiceRecord): Generator<ChoicePiece> {
  const size = Math.floor(MAX_PART_BYTES / CHARACTER_BYTES);
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + size);
    // Half a surrogate pair is no text: the other half goes with it.
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
    yield { text: text.slice(start, end), tokenIds: NO_WORDS };
    start = end;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
