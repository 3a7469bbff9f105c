import type { ChunkRecord, ResumedChoice } from '../protocol/messages.js';
import type { Choice, FinishReason } from '../protocol/requests.js';

interface ChoiceProgress {
  readonly tokenIds: number[];
  text: string;
  finishReason: FinishReason | null;
}

/** What the caller of a stream has been given, choice by choice. */
export class StreamProgress {
  readonly #choices: readonly ChoiceProgress[];

  constructor(numChoices: number) {
    this.#choices = Array.from({ length: numChoices }, () => ({
      tokenIds: [],
      text: '',
      finishReason: null,
    }));
  }

  get isFinished(): boolean {
    return this.#choices.every(({ finishReason }) => finishReason !== null);
  }

  take({ choice, text, tokenIds, finishReason }: ChunkRecord): void {
    const progress = this.#choices[choice];
    if (progress === undefined) return;
    for (const id of tokenIds) progress.tokenIds.push(id);
    progress.text += text;
    progress.finishReason = finishReason ?? null;
  }

  /** For the process that goes on with it. */
  toResumed(): ResumedChoice[] {
    return this.#choices.map(({ tokenIds, text, finishReason }) => ({
      tokenIds,
      textLength: text.length,
      finishReason,
    }));
  }

  /** What there is, ended here where it has not ended. */
  toChoices(reason: FinishReason): Choice[] {
    return this.#choices.map(({ tokenIds, text, finishReason }) => ({
      text,
      tokenIds,
      finishReason: finishReason ?? reason,
    }));
  }
}
