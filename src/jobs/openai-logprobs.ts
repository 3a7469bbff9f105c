/**
 * Log-probabilities in the two forms of the OpenAI API.
 *
 * Source: the completion and chat completion objects of its reference. A token of which the bytes
 * are not whole characters is written `bytes:\xe2\x82`, as its completions do, and an id without
 * text `token_id:7`.
 */

import type { ChoiceLogprob, TokenLogprob } from '../protocol/requests.js';
import { LongList } from './row-pieces.js';

/** The form of `/v1/completions`; `top_logprobs` has the token itself too, as documented. */
export function completionLogprobs(entries: readonly ChoiceLogprob[], text: string) {
  return {
    tokens: listOf(entries, tokenText),
    token_logprobs: listOf(entries, finiteLogprob),
    top_logprobs: listOf(entries, likeliest),
    text_offset: new LongList(() => textOffsets(entries, text)),
  };
}

/**
 * By text, the token itself among them. Where several ids have one text, the likeliest has it and the
 * others are told by their ids: none is lost.
 */
function likeliest(entry: ChoiceLogprob): Record<string, number> {
  const byId = new Map([...entry.top, entry].map((one) => [one.tokenId, one]));
  const named = new Map<string, number>();
  for (const one of [...byId.values()].sort((a, b) => b.logprob - a.logprob)) {
    const text = tokenText(one);
    named.set(named.has(text) ? idText(one) : text, finiteLogprob(one));
  }
  return Object.fromEntries(named);
}

/** The form of `/v1/chat/completions`. */
export function chatLogprobs(entries: readonly ChoiceLogprob[]) {
  return {
    content: listOf(entries, (entry) => ({
      ...chatToken(entry),
      top_logprobs: entry.top.map(chatToken),
    })),
    refusal: null,
  };
}

function listOf<Element>(
  entries: readonly ChoiceLogprob[],
  make: (entry: ChoiceLogprob) => Element,
): LongList<Element> {
  return new LongList(function* () {
    for (const entry of entries) yield make(entry);
  });
}

function chatToken(token: TokenLogprob) {
  return {
    token: tokenText(token),
    logprob: finiteLogprob(token),
    bytes: token.bytes === undefined ? null : [...token.bytes],
  };
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function idText({ tokenId }: TokenLogprob): string {
  return `token_id:${tokenId}`;
}

function tokenText(token: TokenLogprob): string {
  const { bytes } = token;
  if (bytes === undefined) return idText(token);
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    // Not whole characters.
    return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

/**
 * Where each token begins in its text, in characters (code points). A token that goes on with a
 * character begins where that one does; what is not in the text begins where it would be.
 */
function* textOffsets(entries: readonly ChoiceLogprob[], text: string): Generator<number> {
  const growing = growingText();
  const textLength = countCharacters(text);
  let length = -numDropped(entries, text);
  for (const entry of entries) {
    yield Math.min(Math.max(length, 0), textLength);
    length += countCharacters(growing(entry));
  }
}

/** Gives what each token adds to the text: whole characters only. */
function growingText(): (entry: ChoiceLogprob) => string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return ({ bytes, isSpecial }) =>
    bytes === undefined || isSpecial === true
      ? ''
      : decoder.decode(Uint8Array.from(bytes), { stream: true });
}

/** No known decoder drops more than one. */
const MAX_DROPPED = 16;
/** So many tokens tell what was dropped before the first of them. */
const START_TOKENS = 64;

/** Spaces that a tokenizer's decoder drops from the start of a text that nothing goes before. */
function numDropped(entries: readonly ChoiceLogprob[], text: string): number {
  const written = entries.slice(0, START_TOKENS).map(growingText()).join('');
  const numSpaces = Math.min(written.length - written.trimStart().length, MAX_DROPPED);
  for (let count = 0; count <= numSpaces; count++) {
    const rest = written.slice(count);
    if (text.startsWith(rest) || rest.startsWith(text)) return count;
  }
  return 0;
}

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** JSON has no infinity; OpenAI writes -9999 for a token that can't come. */
function finiteLogprob({ logprob }: TokenLogprob): number {
  return Math.max(logprob, -9999);
}
