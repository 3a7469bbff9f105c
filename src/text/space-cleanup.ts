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

/** What may begin something to replace behind its space and its marks. */
const BEGUN = /(?:n'?|v|r)?$/;
const MARKS = " .?!,'";

/** The text with its spaces cleaned, but for the rest that isn't decided yet. */
export function cleanSpaces(text: string, isLast: boolean): { text: string; rest: string } {
  const end = isLast ? text.length : decidedLength(text);
  const cleaned = REPLACED.reduce(
    (rest, [pattern, content]) => rest.replaceAll(pattern, content),
    text.slice(0, end),
  );
  return { text: cleaned, rest: text.slice(end) };
}

/**
 * How much of a text what comes next can't change. All that is replaced begins with a space, and what
 * others leave of it ends in a letter.
 */
function decidedLength(text: string): number {
  let length = text.length;
  let index = BEGUN.exec(text.slice(-2))?.index ?? 0;
  index += Math.max(0, text.length - 2) - 1;
  for (; index >= 0 && MARKS.includes(text.charAt(index)); index--) {
    if (text.charAt(index) === ' ') length = index;
  }
  return length;
}
