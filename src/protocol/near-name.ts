/** A name that was mistyped, and the one that was meant. */

/** Letters that a mistyped name may differ in: more, and it is another name. */
const MAX_DISTANCE = 2;

/** The known name that comes nearest to an unknown one; null when none is near. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const wanted = name.toLowerCase();
  let best: { readonly name: string; readonly distance: number } | null = null;
  for (const candidate of known) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    const isNear = distance <= MAX_DISTANCE && distance < Math.min(name.length, candidate.length);
    if (isNear && distance < (best?.distance ?? Infinity)) best = { name: candidate, distance };
  }
  return best?.name ?? null;
}

/** Letters to add, take away or change (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let at = 1; at <= from.length; at++) {
    const next = [at];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[at - 1] === to[column - 1];
      next[column] = Math.min(
        (row[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (row[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
