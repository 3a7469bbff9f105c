/**
 * Log-probabilities in the two forms of the OpenAI API.
 *
 * Source: the completion and chat completion objects of its reference. A token of which the bytes
 * are not whole characters is written `bytes:\xe2\x82`, as its completions do, and an id without
 * text `token_id:7`.
 */

import type { ChoiceLogprob, TokenLogprob } from '../protocol/requests.js';

/** The form of `/v1/completions`; `top_logprobs` has the token itself too, as documented. */
export function completionLogprobs(entries: readonly ChoiceLogprob[], text: string) {
  return {
    tokens: entries.map(tokenText),
    token_logprobs: entries.map(finiteLogprob),
    top_logprobs: entries.map(likeliest),
    text_offset: textOffsets(entries, text),
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
    content: entries.map((entry) => ({
      ...chatToken(entry),
      top_logprobs: entry.top.map(chatToken),
    })),
    refusal: null,
  };
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
function textOffsets(entries: readonly ChoiceLogprob[], text: string): number[] {
  const growing = new TextDecoder('utf-8', { ignoreBOM: true });
  const written = entries.map(({ bytes, isSpecial }) => {
    return bytes === undefined || isSpecial === true
      ? ''
      : growing.decode(Uint8Array.from(bytes), { stream: true });
  });
  const textLength = countCharacters(text);
  let length = -numDropped(written.join(''), text);
  return written.map((part) => {
    const offset = Math.min(Math.max(length, 0), textLength);
    length += countCharacters(part);
    return offset;
  });
}

/** No known decoder drops more than one. */
const MAX_DROPPED = 16;

/** Spaces that a tokenizer's decoder drops from the start of a text that nothing goes before. */
function numDropped(written: string, text: string): number {
  const numSpaces = Math.min(written.length - written.trimStart().length, MAX_DROPPED);
  for (let count = 0; count <= numSpaces; count++) {
    if (written.startsWith(text, count)) return count;
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
