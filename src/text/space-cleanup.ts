/** `clean_up_tokenization_spaces` of tokenizer_config.json, in a text that grows. */

/** What is replaced, one after the other in all of the text, as `transformers` does. */
const REPLACED: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/**
 * The end of a text that what comes next may make part of something to replace. All that is replaced
 * begins with a space, and what others leave of it ends in a letter.
 */
const UNDECIDED = / [ .?!,']*(?:n'?|v|r)?$/;

/** The text with its spaces cleaned, but for the rest that isn't decided yet. */
export function cleanSpaces(text: string, isLast: boolean): { text: string; rest: string } {
  const end = isLast ? text.length : (UNDECIDED.exec(text)?.index ?? text.length);
  const cleaned = REPLACED.reduce(
    (rest, [pattern, content]) => rest.replaceAll(pattern, content),
    text.slice(0, end),
  );
  return { text: cleaned, rest: text.slice(end) };
}
