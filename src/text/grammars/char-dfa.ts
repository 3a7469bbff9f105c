/** Deterministic automata over code points: which strings are possible. */

/** Where each code point leads from one state, as ranges in ascending order. */
export interface CharState {
  readonly isFinal: boolean;
  /** First code point of each range; a range ends before the next one. The first is 0. */
  readonly starts: readonly number[];
  /** State of each range; -1 = none. */
  readonly targets: readonly number[];
}

/** An automaton grew beyond its limit. */
export class TooManyStates extends Error {}

/** State 0 comes first; every state leads to a final one, unless there is no string at all. */
export class CharDfa {
  readonly states: readonly CharState[];

  private constructor(states: readonly CharState[]) {
    this.states = states;
  }

  /** The automaton without states that lead nowhere. */
  static of(states: readonly CharState[]): CharDfa {
    return new CharDfa(withoutDeadEnds(states));
  }

  /** Whether there is no string. */
  get isEmpty(): boolean {
    const [first] = this.states;
    return first === undefined || (!first.isFinal && first.targets.every((target) => target < 0));
  }

  isFinal(state: number): boolean {
    return this.states[state]?.isFinal ?? false;
  }

  /** -1 = the code point can't come here. */
  next(state: number, codePoint: number): number {
    const { starts, targets } = this.states[state] ?? NOWHERE;
    return targets[rangeOf(starts, codePoint)] ?? -1;
  }

  /** The different states that code points from `low` to `high` lead to, -1 among them. */
  nextOfRange(state: number, low: number, high: number): readonly number[] {
    const { starts, targets } = this.states[state] ?? NOWHERE;
    const found = new Set<number>();
    for (let index = rangeOf(starts, low); index < starts.length; index++) {
      if ((starts[index] ?? 0) > high) break;
      found.add(targets[index] ?? -1);
    }
    return [...found];
  }

  takes(text: string): boolean {
    let state = 0;
    for (const character of text) {
      state = this.next(state, character.codePointAt(0) ?? 0);
      if (state < 0) return false;
    }
    return this.isFinal(state);
  }

  /**
   * By state, the first one from which the same strings of at most so many characters lead on, and
   * to an end (Moore's refinement of a partition).
   */
  alikeWithin(numCharacters: number): Int32Array {
    const edges = this.#edges();
    let classes = Int32Array.from(this.states, ({ isFinal }) => (isFinal ? 1 : 0));
    let numClasses = 0;
    for (let round = 0; round < numCharacters; round++) {
      const places = new Map<string, number>();
      const refined = edges.map((ways, state) => {
        const ends = ways.map(({ characters, target }) => `${characters}:${classes[target]}`);
        const key = `${classes[state]} ${ends.join(' ')}`;
        const known = places.get(key) ?? places.size;
        places.set(key, known);
        return known;
      });
      classes = Int32Array.from(refined);
      if (places.size === numClasses) break;
      numClasses = places.size;
    }
    const firsts = new Map<number, number>();
    return classes.map((one, state) => {
      const first = firsts.get(one) ?? state;
      firsts.set(one, first);
      return first;
    });
  }

  /** By state, where it leads with which characters: equal numbers stand for equal ones. */
  #edges(): readonly (readonly { readonly characters: number; readonly target: number }[])[] {
    const numbers = new Map<string, number>();
    return this.states.map(({ starts, targets }) => {
      const ranges = new Map<number, string>();
      for (const [index, target] of targets.entries()) {
        if (target < 0) continue;
        ranges.set(target, `${ranges.get(target) ?? ''}${starts[index]}-${starts[index + 1]} `);
      }
      return [...ranges].map(([target, text]) => {
        const characters = numbers.get(text) ?? numbers.size;
        numbers.set(text, characters);
        return { characters, target };
      });
    });
  }

  /** All strings but those of this automaton. */
  complement(): CharDfa {
    const sink = this.states.length;
    const states = this.states.map(({ isFinal, starts, targets }) => ({
      isFinal: !isFinal,
      starts,
      targets: targets.map((target) => (target < 0 ? sink : target)),
    }));
    return CharDfa.of([...states, { isFinal: true, starts: [0], targets: [sink] }]);
  }

  /**
   * The strings of both.
   * @throws TooManyStates
   */
  intersect(other: CharDfa, maxStates: number): CharDfa {
    const states: CharState[] = [];
    const places = new Map<number, number>();
    const pairs: (readonly [number, number])[] = [];
    const placeOf = (left: number, right: number): number => {
      if (left < 0 || right < 0) return -1;
      const key = left * other.states.length + right;
      const known = places.get(key);
      if (known !== undefined) return known;
      if (pairs.length >= maxStates) throw new TooManyStates(`more than ${maxStates} states`);
      places.set(key, pairs.length);
      return pairs.push([left, right]) - 1;
    };
    placeOf(0, 0);
    for (const [left, right] of pairs) {
      const merged = mergeRanges(this.states[left] ?? NOWHERE, other.states[right] ?? NOWHERE);
      states.push(
        stateOf(
          this.isFinal(left) && other.isFinal(right),
          merged.map(([start, one, two]) => [start, placeOf(one, two)]),
        ),
      );
    }
    return CharDfa.of(states);
  }
}

const NOWHERE: CharState = { isFinal: false, starts: [0], targets: [-1] };

/** A state from its ranges' starts and targets; neighbours with one target become one range. */
export function stateOf(
  isFinal: boolean,
  ranges: readonly (readonly [start: number, target: number])[],
): CharState {
  const starts: number[] = [];
  const targets: number[] = [];
  for (const [start, target] of ranges) {
    if (targets.at(-1) === target) continue;
    starts.push(start);
    targets.push(target);
  }
  return { isFinal, starts, targets };
}

/** Index of the range that a code point lies in. */
function rangeOf(starts: readonly number[], codePoint: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= codePoint) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The ranges of two states, cut where either has a cut. */
function mergeRanges(
  left: CharState,
  right: CharState,
): readonly (readonly [start: number, left: number, right: number])[] {
  const cuts = [...new Set([...left.starts, ...right.starts])].sort((one, two) => one - two);
  let [atLeft, atRight] = [0, 0];
  return cuts.map((start) => {
    while ((left.starts[atLeft + 1] ?? Number.POSITIVE_INFINITY) <= start) atLeft++;
    while ((right.starts[atRight + 1] ?? Number.POSITIVE_INFINITY) <= start) atRight++;
    return [start, left.targets[atLeft] ?? -1, right.targets[atRight] ?? -1];
  });
}

/** Keeps the first state, and of the others those that it reaches and that reach a final one. */
function withoutDeadEnds(states: readonly CharState[]): readonly CharState[] {
  const sources = states.map((): number[] => []);
  for (const [index, { targets }] of states.entries()) {
    for (const target of new Set(targets)) sources[target]?.push(index);
  }
  const living = reach(
    [...states.keys()].filter((index) => states[index]?.isFinal),
    (index) => sources[index] ?? [],
  );
  const reached = reach([0], (index) =>
    (states[index]?.targets ?? []).filter((target) => living.has(target)),
  );
  const kept = [...reached].sort((one, two) => one - two);
  const places = new Map(kept.map((index, place) => [index, place]));
  return kept.map((index) => {
    const { isFinal, starts, targets } = states[index] ?? NOWHERE;
    return stateOf(
      isFinal,
      starts.map((start, range) => [start, places.get(targets[range] ?? -1) ?? -1]),
    );
  });
}

function reach(from: readonly number[], next: (index: number) => readonly number[]): Set<number> {
  const found = new Set(from);
  for (const index of found) for (const one of next(index)) found.add(one);
  return found;
}
