/**
 * The text of token ids that come one after the other, before anybody looks for stop strings in it.
 * What is given out is certain: it stays the same whatever comes next.
 */

import type { TextState, TokenIds } from '../protocol/text-jobs.js';
import { cleanSpaces } from './space-cleanup.js';
import type { TokenBytes } from './token-bytes.js';
import { decodeUtf8, decodeWholeUtf8, unfinishedLength, utf8Characters } from './utf8.js';

/** What ids added to a text. */
export interface GrownText {
  readonly text: string;
  readonly state: TextState;
}

/** A row of ids, the number of tokens before it, and whether it is the last one. */
export interface GrowingRow {
  readonly tokenIds: TokenIds;
  readonly numTokens: number;
  readonly isLast: boolean;
}

/** Called when `length` characters of the text, counted from the row's start, are written by `numTokens` tokens. */
type Trace = (length: number, numTokens: number) => void;

/** @param before The ids right before the first one: a text that goes on has no start of its own. */
export function startText(table: TokenBytes, before: TokenIds): TextState {
  const isContinued = before.some((id) => table.has(id));
  return {
    isFirst: !isContinued,
    numToDrop: isContinued ? 0 : table.decoder.dropped.max,
    pendingBytes: [],
    pendingEnds: [],
    uncleaned: '',
  };
}

/** Adds a row's ids to a text. */
export function growText(table: TokenBytes, state: TextState, row: GrowingRow): GrownText {
  const { decoder } = table;
  const grown = decoder.joinsBytes ? growBytes(table, state, row) : growRuns(table, state, row);
  const { character } = decoder.dropped;
  let { text } = grown;
  let { numToDrop } = state;
  while (numToDrop > 0 && text.startsWith(character)) {
    text = text.slice(character.length);
    numToDrop--;
  }
  if (text !== '') numToDrop = 0;
  if (!decoder.cleansSpaces) return { text, state: { ...grown.state, numToDrop } };
  const cleaned = cleanSpaces(state.uncleaned + text, row.isLast);
  const { text: certain, rest: uncleaned } = cleaned;
  return { text: certain, state: { ...grown.state, numToDrop, uncleaned } };
}

/** The number of tokens, those before the row included, that write the row's first `length` characters. */
export function tokensUntil(
  table: TokenBytes,
  state: TextState,
  row: GrowingRow,
  length: number,
): number {
  const end = row.numTokens + row.tokenIds.length;
  if (!table.decoder.joinsBytes && !table.decoder.cleansSpaces) {
    const dropped =
      growRuns(table, state, row).text.length - growText(table, state, row).text.length;
    let found = end;
    growRuns(table, state, row, (traced, numTokens) => {
      if (traced - dropped >= length) found = Math.min(found, numTokens);
    });
    return found;
  }
  let written = 0;
  let rest = state;
  for (let index = 0; index < row.tokenIds.length; index++) {
    const tokenIds = row.tokenIds.slice(index, index + 1);
    const numTokens = row.numTokens + index;
    const grown = growText(table, rest, { tokenIds, numTokens, isLast: false });
    written += grown.text.length;
    if (written >= length) return numTokens + 1;
    rest = grown.state;
  }
  // It needs what the end of the text makes of an unfinished sequence.
  return end;
}

/** All tokens' bytes are one text: what is no UTF-8 becomes U+FFFD as soon as that is certain. */
function growBytes(
  table: TokenBytes,
  state: TextState,
  { tokenIds, isLast }: GrowingRow,
): GrownText {
  const first = state.isFirst ? tokenIds.findIndex((id) => table.has(id)) : -1;
  const head = first < 0 ? [] : table.getFirst(tokenIds[first] ?? -1);
  const bytes = table.join([...state.pendingBytes, ...head], tokenIds.slice(first + 1));
  const end = isLast ? bytes.length : bytes.length - unfinishedLength(bytes);
  return {
    text: decodeUtf8(bytes.subarray(0, end)),
    state: {
      ...state,
      isFirst: state.isFirst && first < 0,
      pendingBytes: Array.from(bytes.subarray(end)),
    },
  };
}

/** Tokens are texts, but for byte tokens: what a run of them makes is certain when it has ended. */
function growRuns(
  table: TokenBytes,
  state: TextState,
  { tokenIds, numTokens, isLast }: GrowingRow,
  trace?: Trace,
): GrownText {
  let text = '';
  let { isFirst } = state;
  const bytes = [...state.pendingBytes];
  const ends = [...state.pendingEnds];
  let spanStart = 0;
  const endSpan = (end: number): void => {
    if (spanStart < end) text += decodeUtf8(table.join([], tokenIds.slice(spanStart, end)));
  };
  const endRun = (): void => {
    if (bytes.length === 0) return;
    for (const piece of runPieces(table, { bytes, ends, isFirst })) {
      text += piece.text;
      trace?.(text.length, piece.numTokens);
    }
    isFirst = false;
    bytes.length = 0;
    ends.length = 0;
  };
  for (const [index, id] of tokenIds.entries()) {
    if (table.isByte(id)) {
      endSpan(index);
      bytes.push(...table.get(id));
      ends.push(numTokens + index + 1);
      spanStart = index + 1;
      continue;
    }
    if (!table.has(id)) continue;
    if (bytes.length > 0) {
      endRun();
      spanStart = index;
    }
    if (isFirst) {
      text += decodeUtf8(table.getFirst(id));
      isFirst = false;
      spanStart = index + 1;
    }
    if (trace === undefined) continue;
    endSpan(index + 1);
    spanStart = index + 1;
    trace(text.length, numTokens + index + 1);
  }
  endSpan(tokenIds.length);
  if (isLast) endRun();
  return { text, state: { ...state, isFirst, pendingBytes: bytes, pendingEnds: ends } };
}

interface ByteRun {
  readonly bytes: readonly number[];
  /** The number of tokens up to each byte. */
  readonly ends: readonly number[];
  readonly isFirst: boolean;
}

interface RunPiece {
  readonly text: string;
  readonly numTokens: number;
}

/** A run that is UTF-8 is its text; of any other, each byte is a U+FFFD. */
function runPieces(
  { decoder }: TokenBytes,
  { bytes, ends, isFirst }: ByteRun,
): readonly RunPiece[] {
  const text = decodeWholeUtf8(Uint8Array.from(bytes));
  if (text === null) {
    return ends.map((numTokens, index) => {
      return { text: decoder.runText('\ufffd', isFirst && index === 0), numTokens };
    });
  }
  const written = decoder.runText(text, isFirst);
  if (written !== text) return [{ text: written, numTokens: ends.at(-1) ?? 0 }];
  return utf8Characters(text).map(({ character, end }) => {
    return { text: character, numTokens: ends[end - 1] ?? 0 };
  });
}
