/** What comes of a request before its outcome, and with it. */

import type {
  ChoicePiece,
  ChoiceRecord,
  NamedTokens,
  OutcomePart,
  OutcomeRecord,
} from '../protocol/messages.js';
import type { Choice, Usage } from '../protocol/requests.js';
import { buildChoices } from './choice-builder.js';

/** The choices of a finished request. */
export interface RequestResult {
  readonly choices: readonly Choice[];
  readonly usage: Usage;
}

export type CompletedRecord = Extract<OutcomeRecord, { readonly choices: unknown }>;

/** What of an outcome came before it. */
export class ResultGathering {
  readonly #pieces: ChoicePiece[][] = [];
  readonly #names: NamedTokens[] = [];

  take(part: OutcomePart): void {
    if ('names' in part) {
      this.#names.push(part.names);
      return;
    }
    const pieces = this.#pieces[part.choice] ?? [];
    this.#pieces[part.choice] = pieces;
    pieces.push(part.piece);
  }

  /** Pauses after each slice of work. */
  *finish(
    { choices, names = [] }: CompletedRecord,
    width: number | null,
  ): Generator<void, Choice[], void> {
    return yield* buildChoices({
      choices: choices.map((last, index) => ({
        pieces: [...(this.#pieces[index] ?? []), last],
        finishReason: last.finishReason,
      })),
      names: [...this.#names, ...names],
      width,
    });
  }
}

/** The choice of a record that is whole, without log-probabilities, and has few tokens. */
export function toChoice({ text, tokenIds, finishReason }: ChoiceRecord): Choice {
  return { text, tokenIds: Array.from(tokenIds), finishReason };
}
