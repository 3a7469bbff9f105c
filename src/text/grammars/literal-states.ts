/** Texts that are listed, such as the values of an enum. */

import { SortedTexts, type Span } from './sorted-texts.js';
import { moveTo, NO_MOVES, type Start, type State, StateTable } from './state.js';

/** Any of the texts, and nothing else. */
export function literalStart(list: readonly string[]): Start {
  const texts = new SortedTexts(list);
  const states = new StateTable();
  const stateAt = (span: Span): State => ({
    isFinal: texts.isWhole(span),
    moves: (byte) => {
      const next = texts.next(span, byte);
      if (next.low === next.high) return NO_MOVES;
      const key = `${next.low} ${next.high} ${next.length}`;
      return moveTo(states.at(key, () => stateAt(next)));
    },
  });
  return stateAt(texts.all);
}
