/**
 * Text from token ids as they come. Pure: a state and new ids in, a new state and new text out.
 * Every piece is well-formed, and the pieces of a sequence joined are the text of all its ids at
 * once, however the ids were cut: that decoding is {@link detokenize} of one last row.
 */

import type { DetokenizerState, StopHit, TokenIds } from '../protocol/text-jobs.js';
import { growText, startText, tokensUntil } from './growing-text.js';
import { findStop, type StopMatch, safeLength } from './stop-strings.js';
import type { TokenBytes } from './token-bytes.js';

/** What one row adds to a sequence. */
export interface DetokenizerInput {
  readonly tokenIds: TokenIds;
  readonly isLast: boolean;
  readonly stop?: readonly string[];
  readonly minTokens?: number;
}

/** The state after a row and the text it added. */
export interface DetokenizerOutput {
  readonly state: DetokenizerState;
  readonly text: string;
  readonly stopped?: StopHit;
}

/**
 * The state before a sequence's first row.
 *
 * @param before The ids right before it, a prompt's last ones: behind text, a tokenizer's decoder
 * drops no space from the sequence's start, so that prompt and text put together are what the model
 * has written.
 */
export function startState(table: TokenBytes, before: TokenIds = []): DetokenizerState {
  return { growing: startText(table, before), heldText: '', numTokens: 0, stopped: false };
}

/**
 * Adds one row's ids to a sequence. Special tokens and ids outside the vocabulary add no text;
 * bytes that are no UTF-8 become U+FFFD as soon as that is certain.
 */
export function detokenize(
  table: TokenBytes,
  state: DetokenizerState,
  input: DetokenizerInput,
): DetokenizerOutput {
  if (state.stopped) return { state, text: '' };
  const stops = input.stop ?? [];
  const row = { ...input, numTokens: state.numTokens };
  const grown = growText(table, state.growing, row);
  const text = state.heldText + grown.text;

  const hit = firstHit(table, state, { input, text });
  if (hit !== null) {
    const { match, numTokens } = hit;
    const endState = { ...state, heldText: '', numTokens, stopped: true };
    const stopped = { stopIndex: match.stopIndex, numTokens };
    return { state: endState, text: text.slice(0, match.start), stopped };
  }

  const length = input.isLast ? text.length : safeLength(text, stops);
  return {
    state: {
      growing: grown.state,
      heldText: text.slice(length),
      numTokens: state.numTokens + input.tokenIds.length,
      stopped: false,
    },
    text: text.slice(0, length),
  };
}

interface Searched {
  readonly input: DetokenizerInput;
  /** What was held and what the row added. */
  readonly text: string;
}

/** The first stop string that ends in the row's text and is completed by enough tokens. */
function firstHit(
  table: TokenBytes,
  { growing, heldText, numTokens: numBefore }: DetokenizerState,
  { input, text }: Searched,
): { readonly match: StopMatch; readonly numTokens: number } | null {
  const { stop = [], minTokens = 0 } = input;
  const row = { ...input, numTokens: numBefore };
  let seenLength = heldText.length;
  while (true) {
    const match = findStop(text, stop, seenLength);
    if (match === null) return null;
    const numTokens = tokensUntil(table, growing, row, match.end - heldText.length);
    if (numTokens > minTokens) return { match, numTokens };
    seenLength = match.end;
  }
}
