/** What a wrong name was probably meant to be. */

const MAX_DISTANCE = 2;
const MAX_LENGTH = 40;

/** The known name that is nearest, as the end of a sentence; empty when none is near. */
export function nearNameHint(name: string, known: Iterable<string>): string {
  const near = nearestName(name, known);
  return near === null ? '' : `; did you mean ${near}?`;
}

/** The known name that is nearest; null when none is near. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  if (name.length > MAX_LENGTH) return null;
  const plain = plainly(name);
  let nearest: string | null = null;
  // A short name is near to everything.
  let least = Math.min(MAX_DISTANCE, Math.floor(plain.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, plainly(candidate));
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

/** `max_tokens`, `maxtokens` and `maxTokens` are one name to whoever writes it. */
function plainly(name: string): string {
  return name.replace(/[-_]/g, '').toLowerCase();
}

/** Levenshtein's: insertions, deletions and replacements. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
