/**
 * Text from token ids as they come. Pure: a state and new ids in, a new state and new text out.
 * Every piece is well-formed, and the pieces of a sequence joined are the text of all its ids at
 * once, however the ids were cut: that decoding is {@link detokenize} of one last row.
 */

import type { DetokenizerState, StopHit, TokenIds } from '../protocol/text-jobs.js';
import { findStop, safeLength } from './stop-strings.js';
import type { TokenBytes } from './token-bytes.js';
import { decodeUtf8, unfinishedLength } from './utf8.js';

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

/** The state before a sequence's first row. */
export function startState(table: TokenBytes): DetokenizerState {
  return {
    pendingBytes: [],
    heldText: '',
    spacesToDrop: table.spacesToDrop,
    numTokens: 0,
    stopped: false,
  };
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
  const { tokenIds, stop = [], minTokens = 0 } = input;
  const numFree = stop.length === 0 ? 0 : Math.max(0, minTokens - state.numTokens);
  if (numFree === 0 || numFree >= tokenIds.length) return add(table, state, input, numFree === 0);
  const free = { tokenIds: tokenIds.slice(0, numFree), isLast: false, stop };
  const before = add(table, state, free, false);
  const rest = { ...input, tokenIds: tokenIds.slice(numFree) };
  const after = add(table, before.state, rest, true);
  return { ...after, text: before.text + after.text };
}

/** @param canStop Whether a stop string that these ids complete ends the text. */
function add(
  table: TokenBytes,
  state: DetokenizerState,
  input: DetokenizerInput,
  canStop: boolean,
): DetokenizerOutput {
  if (state.stopped) return { state, text: '' };
  const stops = input.stop ?? [];
  const decoded = decode(table, state, input.tokenIds, input.isLast);
  const text = state.heldText + decoded.text;
  const numTokens = state.numTokens + input.tokenIds.length;

  const match = canStop ? findStop(text, stops, state.heldText.length) : null;
  if (match !== null) {
    const stopped = {
      stopIndex: match.stopIndex,
      numTokens: state.numTokens + tokensUntil(table, state, input, match.end),
    };
    const endState = {
      pendingBytes: [],
      heldText: '',
      spacesToDrop: 0,
      numTokens: stopped.numTokens,
      stopped: true,
    };
    return { state: endState, text: text.slice(0, match.start), stopped };
  }

  const length = input.isLast ? text.length : safeLength(text, stops);
  return {
    state: {
      pendingBytes: decoded.pendingBytes,
      heldText: text.slice(length),
      spacesToDrop: decoded.spacesToDrop,
      numTokens,
      stopped: false,
    },
    text: text.slice(0, length),
  };
}

interface Decoded {
  readonly text: string;
  readonly pendingBytes: readonly number[];
  readonly spacesToDrop: number;
}

function decode(
  table: TokenBytes,
  state: Pick<DetokenizerState, 'pendingBytes' | 'spacesToDrop'>,
  tokenIds: TokenIds,
  isLast: boolean,
): Decoded {
  const bytes = table.join(state.pendingBytes, tokenIds);
  const end = isLast ? bytes.length : bytes.length - unfinishedLength(bytes);
  const text = decodeUtf8(bytes.subarray(0, end));
  let dropped = 0;
  while (dropped < state.spacesToDrop && text[dropped] === ' ') dropped++;
  return {
    text: text.slice(dropped),
    pendingBytes: Array.from(bytes.subarray(end)),
    spacesToDrop: dropped < text.length ? 0 : state.spacesToDrop - dropped,
  };
}

/** The number of the row's first tokens whose text reaches `end` in held and new text together. */
function tokensUntil(
  table: TokenBytes,
  state: DetokenizerState,
  input: DetokenizerInput,
  end: number,
): number {
  let length = state.heldText.length;
  let rest: Pick<DetokenizerState, 'pendingBytes' | 'spacesToDrop'> = state;
  for (let index = 0; index < input.tokenIds.length; index++) {
    const decoded = decode(table, rest, input.tokenIds.slice(index, index + 1), false);
    length += decoded.text.length;
    if (length >= end) return index + 1;
    rest = decoded;
  }
  // The match needs the U+FFFD that the end of the text makes of an unfinished sequence.
  return input.tokenIds.length;
}
