/**
 * Expressions of a grammar that together take the decimal numbers from `low` to `high`, without
 * leading zeros. Both are whole and at least 0, `low` is not above `high`, or the list is empty.
 */
export function wholeNumbers(low: number, high: number): string[] {
  const expressions: string[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const least = Math.max(low, length === 1 ? 0 : 10 ** (length - 1));
    const most = Math.min(high, 10 ** length - 1);
    if (least <= most) expressions.push(...ofLength(String(least), String(most)));
  }
  return expressions;
}

/** The numbers between two of equal length, split where the first digit changes. */
function ofLength(low: string, high: string): string[] {
  const first = low.charAt(0);
  const last = high.charAt(0);
  const tailLength = low.length - 1;
  if (tailLength === 0) return [digits(first, last)];
  const lowTail = low.slice(1);
  const highTail = high.slice(1);
  const zeros = '0'.repeat(tailLength);
  const nines = '9'.repeat(tailLength);
  const after = (digit: string, from: string, to: string): string[] =>
    ofLength(from, to).map((tail) => `"${digit}" ${tail}`);
  if (first === last) return after(first, lowTail, highTail);
  const expressions: string[] = [];
  let from = Number(first);
  let to = Number(last);
  if (lowTail !== zeros) {
    expressions.push(...after(first, lowTail, nines));
    from++;
  }
  const hasPartialEnd = highTail !== nines;
  if (hasPartialEnd) to--;
  if (from <= to) expressions.push(`${digits(String(from), String(to))} [0-9]{${tailLength}}`);
  if (hasPartialEnd) expressions.push(...after(last, zeros, highTail));
  return expressions;
}

function digits(from: string, to: string): string {
  return from === to ? `"${from}"` : `[${from}-${to}]`;
}
