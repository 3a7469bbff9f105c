/**
 * Patterns of a JSON Schema (ECMA-262 regular expressions that may match anywhere) as automata.
 * Parsing and determinizing is refa's work.
 */

import {
  CharSet,
  type Concatenation,
  DFA,
  type Element,
  JS,
  NFA,
  type NoParent,
  TooManyNodesError,
} from 'refa';
import { CharDfa, type CharState, stateOf, TooManyStates } from './char-dfa.js';

/** More states than this take long to build and a lot of memory. */
const MAX_STATES = 4096;
/** Of all states: classes such as \\p{L} have hundreds of ranges. */
const MAX_RANGES = 250_000;
const MAX_PATTERN_LENGTH = 4096;
/** A repetition is written out this often at most, nested ones multiplied. */
const MAX_REPEATED = 8192;

/** A pattern that is none, or has what no automaton stands for; the message says what. */
export class PatternProblem extends Error {}

/**
 * Surrogates are no characters of a well-formed text, so they can mark its ends: a text is matched
 * as BEGIN, its characters, END.
 */
const BEGIN = 0xd800;
const END = 0xdfff;

type Part = NoParent<Element>;
type Sequence = NoParent<Concatenation>;

/**
 * The strings that a pattern matches. One that is only valid without the flag u gets no characters
 * beyond the first plane, where the two ways to read it differ.
 * @throws PatternProblem
 */
export function patternDfa(source: string): CharDfa {
  if (source.length > MAX_PATTERN_LENGTH) throw new PatternProblem('it is too long');
  try {
    const { alternatives, maxCharacter } = parsePattern(source);
    return new PatternBuilder(maxCharacter).build(alternatives);
  } catch (error) {
    if (error instanceof PatternProblem) throw error;
    if (error instanceof TooManyStates || error instanceof TooManyNodesError) {
      throw new PatternProblem('it takes too large an automaton', { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new PatternProblem(reason, { cause: error });
  }
}

function parsePattern(source: string): {
  readonly alternatives: readonly Sequence[];
  readonly maxCharacter: number;
} {
  const parse = (flags: string) => {
    // Also Node.js has to take it: the parser knows more than some versions do.
    new RegExp(source, flags);
    const parser = JS.Parser.fromLiteral({ source, flags });
    const options = { assertions: 'parse', backreferences: 'throw' } as const;
    const { expression, maxCharacter } = parser.parse(options);
    return { alternatives: expression.alternatives, maxCharacter };
  };
  try {
    return parse('u');
  } catch {
    return parse('');
  }
}

class PatternBuilder {
  readonly #maxCharacter: number;
  /** What a text consists of. */
  readonly #characters: CharSet;
  /** Ranges of the widest class. */
  #widest = 1;

  constructor(maxCharacter: number) {
    this.#maxCharacter = maxCharacter;
    this.#characters = CharSet.all(maxCharacter).without({ min: BEGIN, max: END });
  }

  build(alternatives: readonly Sequence[]): CharDfa {
    const [only] = alternatives;
    if (alternatives.length === 1 && only !== undefined) return this.#buildSequence(only.elements);
    return this.#matches(alternatives.map(({ elements }) => elements));
  }

  /** Looking ahead from the beginning, and back from the end, is what two automata can do. */
  #buildSequence(elements: readonly Part[]): CharDfa {
    const rest = [...elements];
    const conditions: { readonly elements: readonly (readonly Part[])[]; isNegated: boolean }[] =
      [];
    const [first] = rest;
    if (first !== undefined && edgeOf(first) === BEGIN) {
      for (let next = rest[1]; isLooking(next, 'ahead'); next = rest[1]) {
        const options = next.alternatives.map((one) => [first, ...one.elements]);
        conditions.push({ elements: options, isNegated: next.negate });
        rest.splice(1, 1);
      }
    }
    const last = rest.at(-1);
    if (last !== undefined && edgeOf(last) === END) {
      for (let next = rest.at(-2); isLooking(next, 'behind'); next = rest.at(-2)) {
        const options = next.alternatives.map((one) => [...one.elements, last]);
        conditions.push({ elements: options, isNegated: next.negate });
        rest.splice(-2, 1);
      }
    }
    return conditions.reduce(
      (dfa, { elements: options, isNegated }) => {
        const condition = this.#matches(options);
        return dfa.intersect(isNegated ? condition.complement() : condition, MAX_STATES);
      },
      this.#matches([rest]),
    );
  }

  /** The texts in which one of the sequences occurs. */
  #matches(options: readonly (readonly Part[])[]): CharDfa {
    const anywhere = (edge: number): Part => ({
      type: 'Quantifier',
      lazy: false,
      min: 0,
      max: Number.POSITIVE_INFINITY,
      alternatives: [
        sequence([characterClass(this.#characters.union([{ min: edge, max: edge }]))]),
      ],
    });
    const middle: Part = {
      type: 'Alternation',
      alternatives: options.map((elements) => sequence(this.#withMarks(elements, 1))),
    };
    const expression = {
      type: 'Expression' as const,
      alternatives: [sequence([anywhere(BEGIN), middle, anywhere(END)])],
    };
    const maxStates = Math.min(MAX_STATES, Math.floor(MAX_RANGES / this.#widest));
    const nfa = NFA.fromRegex(
      expression,
      { maxCharacter: this.#maxCharacter },
      {},
      new NFA.LimitedNodeFactory(4 * maxStates),
    );
    const dfa = DFA.fromFA(nfa, new DFA.LimitedNodeFactory(2 * maxStates));
    dfa.minimize();
    return this.#withoutMarks(dfa);
  }

  /** The sequence with edges as characters, and its characters without them. */
  #withMarks(elements: readonly Part[], times: number): Part[] {
    return elements.map((element): Part => {
      const edge = edgeOf(element);
      if (edge !== null) {
        return characterClass(CharSet.empty(this.#maxCharacter).union([{ min: edge, max: edge }]));
      }
      switch (element.type) {
        case 'CharacterClass':
          this.#widest = Math.max(this.#widest, element.characters.ranges.length);
          return characterClass(element.characters.intersect(this.#characters));
        case 'Alternation':
          return { ...element, alternatives: this.#allWithMarks(element.alternatives, times) };
        case 'Quantifier': {
          const { min, max } = element;
          const most = times * Math.max(1, min, Number.isFinite(max) ? max : 1);
          if (most > MAX_REPEATED) throw new PatternProblem('it repeats too often');
          return { ...element, alternatives: this.#allWithMarks(element.alternatives, most) };
        }
        case 'Assertion':
          throw new PatternProblem('it looks ahead or behind, other than from an end of the text');
        default:
          throw new PatternProblem('it refers back to what it has matched');
      }
    });
  }

  #allWithMarks(sequences: readonly Sequence[], times: number): Sequence[] {
    return sequences.map(({ elements }) => sequence(this.#withMarks(elements, times)));
  }

  /**
   * The automaton between the marks. Some number of them is there at each end: what a pattern
   * matches does not change when there are more.
   */
  #withoutMarks(dfa: DFA): CharDfa {
    const follow = (node: DFA.Node | undefined, mark: number): DFA.Node | undefined => {
      const seen = new Set<DFA.Node>();
      let last = node;
      while (last !== undefined && !seen.has(last)) {
        seen.add(last);
        last = last.out.get(mark);
      }
      return last;
    };
    const initial = follow(dfa.initial, BEGIN);
    if (initial === undefined) return CharDfa.of([{ isFinal: false, starts: [0], targets: [-1] }]);
    const nodes = [initial];
    const places = new Map([[initial, 0]]);
    const states: CharState[] = [];
    for (const node of nodes) {
      const last = follow(node.out.get(END), END);
      const ranges: (readonly [number, number])[] = [[0, -1]];
      for (const [{ min, max }, target] of node.out) {
        let place = places.get(target);
        if (place === undefined) {
          place = nodes.push(target) - 1;
          places.set(target, place);
        }
        for (const [from, to] of besideMarks(min, max)) {
          ranges.push([from, place], [to + 1, -1]);
        }
      }
      states.push(stateOf(last !== undefined && dfa.finals.has(last), lastOfEach(ranges)));
      if (states.length > MAX_STATES) throw new TooManyStates(`more than ${MAX_STATES} states`);
    }
    return CharDfa.of(states);
  }
}

/** A range without surrogates. */
function besideMarks(min: number, max: number): (readonly [number, number])[] {
  const parts = [
    [min, Math.min(max, BEGIN - 1)],
    [Math.max(min, END + 1), max],
  ] as const;
  return parts.filter(([from, to]) => from <= to);
}

/** Of ranges with one start the last, which is the one that says where it leads. */
function lastOfEach(ranges: readonly (readonly [number, number])[]): [number, number][] {
  const targets = new Map<number, number>();
  for (const [start, target] of ranges) {
    if (target >= 0 || !targets.has(start)) targets.set(start, target);
  }
  return [...targets].sort(([one], [other]) => one - other);
}

function sequence(elements: Part[]): Sequence {
  return { type: 'Concatenation', elements };
}

function characterClass(characters: CharSet): Part {
  return { type: 'CharacterClass', characters };
}

function isLooking(
  element: Part | undefined,
  kind: 'ahead' | 'behind',
): element is Extract<Part, { type: 'Assertion' }> {
  return element?.type === 'Assertion' && element.kind === kind && edgeOf(element) === null;
}

/** `^` and `$`: no character behind, none ahead. */
function edgeOf(element: Part): number | null {
  if (element.type !== 'Assertion' || !element.negate) return null;
  const [only, ...others] = element.alternatives;
  const [character, ...more] = only?.elements ?? [];
  if (others.length > 0 || more.length > 0) return null;
  if (character?.type !== 'CharacterClass' || !character.characters.isAll) return null;
  return element.kind === 'behind' ? BEGIN : END;
}
