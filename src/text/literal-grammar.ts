/** Texts as literals of a grammar. */

/**
 * An expression for any of the texts, all different. Texts that begin alike share their beginning,
 * so that no character leads two ways.
 */
export function writeLiterals(texts: readonly string[]): string {
  return writeTails(texts.map((text) => Array.from(text)));
}

/** `tails`: by character. */
function writeTails(tails: readonly (readonly string[])[]): string {
  const groups = new Map<string | undefined, (readonly string[])[]>();
  for (const tail of tails) {
    const [first] = tail;
    const group = groups.get(first);
    if (group === undefined) groups.set(first, [tail]);
    else group.push(tail);
  }
  const options = Array.from(groups, ([first, group]) => {
    if (first === undefined) return '""';
    const length = sharedLength(group);
    const shared = quote((group[0] ?? []).slice(0, length).join(''));
    if (group.length === 1) return shared;
    return `${shared} ${writeTails(group.map((tail) => tail.slice(length)))}`;
  });
  return `(${options.join(' | ')})`;
}

/** How many characters all begin with. */
function sharedLength(texts: readonly (readonly string[])[]): number {
  const [model = []] = texts;
  const differs = model.findIndex((character, index) =>
    texts.some((text) => text[index] !== character),
  );
  return differs === -1 ? model.length : differs;
}

/** One text; everything but plain ASCII is written by its code point. */
export function quote(text: string): string {
  const characters = Array.from(text, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0x20 && code < 0x7f) return character;
    return `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `"${characters.join('')}"`;
}
