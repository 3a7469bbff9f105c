/**
 * From generated ids to what the host hears. Choices that stream or look for stop strings are
 * detokenized as they grow; all others once, when their request has ended. Every request that was
 * opened here gets exactly one outcome.
 */

import type { ErrorRecord } from '../protocol/errors.js';
import type { ChoiceRecord, NamedTokens, ResumedChoice } from '../protocol/messages.js';
import type { DecodedRow, DetokenizedRow, TextTasks } from '../protocol/text-jobs.js';
import { ChoiceOutput } from './choice-output.js';
import type { Effects } from './effects.js';
import { JobBatcher, type RowResult } from './job-batcher.js';
import type { Outbox } from './outbox.js';
import type { Scheduler } from './scheduler.js';
import type { ScheduledRequest, Sequence } from './sequence.js';
import { TokenNaming } from './token-naming.js';

const MAX_DECODED_PER_JOB = 256;

export interface RequestOutputOptions {
  readonly text: Pick<TextTasks, 'detokenize' | 'decode' | 'nameTokens'>;
  /** Without one all text is empty, and nobody need be asked for it. */
  readonly hasTokenizer: boolean;
  readonly scheduler: Pick<Scheduler, 'finish' | 'abort' | 'totals'>;
  readonly outbox: Outbox;
  /** A stop string or a failure may have ended requests in the scheduler. */
  readonly onSchedulerChanged: () => void;
}

interface OpenOutput {
  readonly request: ScheduledRequest;
  readonly choices: readonly ChoiceOutput[];
  readonly isIncremental: boolean;
  /** Its texts are complete; the tokens of its log-probabilities are being named. */
  isNaming: boolean;
  isClosed: boolean;
}

/** Owns requests from their admission to the scheduler until their outcome is sent. */
export class RequestOutput {
  readonly #options: RequestOutputOptions;
  readonly #open = new Map<number, OpenOutput>();
  /** Only choices that are detokenized as they grow. */
  readonly #growing = new Map<Sequence, ChoiceOutput>();
  readonly #detokenizing: JobBatcher<ChoiceOutput, DetokenizedRow>;
  readonly #decoding: JobBatcher<ChoiceOutput, DecodedRow>;
  readonly #naming: TokenNaming;
  #onIdle: (() => void)[] = [];

  constructor(options: RequestOutputOptions) {
    const { text, onSchedulerChanged } = options;
    this.#options = options;
    this.#detokenizing = new JobBatcher<ChoiceOutput, DetokenizedRow>(
      {
        run: (choices) => text.detokenize({ rows: choices.map((choice) => choice.takeRow()) }),
        // A sequence has one row at most, so what runs at once bounds a job.
        maxRowsPerJob: Number.POSITIVE_INFINITY,
        isWanted: ({ sequence }) => this.#open.has(sequence.request.key),
      },
      onSchedulerChanged,
    );
    this.#decoding = new JobBatcher<ChoiceOutput, DecodedRow>(
      {
        run: (choices) => text.decode({ rows: choices.map((choice) => choice.wholeRow()) }),
        maxRowsPerJob: MAX_DECODED_PER_JOB,
        isWanted: ({ sequence }) => this.#open.has(sequence.request.key),
      },
      onSchedulerChanged,
    );
    this.#naming = new TokenNaming(text, onSchedulerChanged);
  }

  /** Requests without an outcome. */
  get numOpen(): number {
    return this.#open.size;
  }

  /** The requests without an outcome. */
  openRequests(): ScheduledRequest[] {
    return Array.from(this.#open.values(), ({ request }) => request);
  }

  /** Resolves when every request has its outcome. */
  idle(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Takes a request over that the scheduler has just taken in. `resumed`: what is told already. */
  open(
    request: ScheduledRequest,
    stop: readonly string[],
    resumed: readonly ResumedChoice[] = [],
  ): void {
    const isIncremental = isDetokenizedAsItGrows(request.stream, stop);
    const choices = request.sequences.map(
      (sequence, choice) => new ChoiceOutput(sequence, stop, resumed[choice]),
    );
    this.#open.set(request.key, {
      request,
      choices,
      isIncremental,
      isNaming: false,
      isClosed: false,
    });
    if (!isIncremental) return;
    for (const choice of choices) this.#growing.set(choice.sequence, choice);
  }

  /** Looks at what has happened in the scheduler; the caller clears the effects. */
  take({ advanced, finished, ended }: Effects): void {
    if (this.#growing.size > 0) {
      for (const sequence of advanced) this.#detokenize(sequence);
      for (const sequence of finished) this.#detokenize(sequence);
    }
    for (const { key } of ended) {
      const output = this.#open.get(key);
      if (output !== undefined) this.#takeEnded(output);
    }
  }

  #takeEnded(output: OpenOutput): void {
    const { request, choices } = output;
    const { hasTokenizer } = this.#options;
    if (request.error !== null) {
      this.#close(output);
      this.#options.outbox.addOutcome({ key: request.key, error: request.error });
      return;
    }
    if (!output.isIncremental) {
      for (const choice of choices) {
        if (!hasTokenizer || choice.numTextTokens === 0) choice.isDone = true;
        else this.#decoding.add(choice, (row) => this.#takeDecoded(output, choice, row));
      }
    }
    this.#completeIfDone(output);
  }

  #takeDecoded(output: OpenOutput, choice: ChoiceOutput, row: RowResult<DecodedRow>): void {
    if (output.isClosed) return;
    if ('error' in row) {
      this.#fail(output, row.error);
      return;
    }
    choice.text = row.text;
    choice.isDone = true;
    this.#completeIfDone(output);
  }

  /** Has the sequence's new tokens detokenized, together with those of other sequences. */
  #detokenize(sequence: Sequence): void {
    const choice = this.#growing.get(sequence);
    if (choice === undefined || choice.isQueued || !choice.hasNews) return;
    choice.isQueued = true;
    this.#detokenizing.add(choice, (row) => this.#takeDetokenized(choice, row));
  }

  #takeDetokenized(choice: ChoiceOutput, row: RowResult<DetokenizedRow>): void {
    const { sequence } = choice;
    const output = this.#open.get(sequence.request.key);
    choice.isQueued = false;
    if (output === undefined) return;
    if ('error' in row) {
      this.#fail(output, row.error);
      return;
    }
    choice.giveRow(row);
    if (row.stopped !== undefined) this.#stop(choice, row.stopped.numTokens);
    if (sequence.request.stream) {
      const chunk = choice.takeChunk(row.text);
      if (chunk !== null) this.#options.outbox.addChunk(chunk);
    }
    if (choice.isDone) this.#completeIfDone(output);
    else this.#detokenize(sequence);
  }

  /** A stop string ends the choice, even if it has ended otherwise behind the string. */
  #stop(choice: ChoiceOutput, numTokens: number): void {
    const { scheduler } = this.#options;
    const { sequence } = choice;
    choice.hasStopHit = true;
    choice.isDone = true;
    if (scheduler.finish(sequence.request.key, sequence.choice, 'stop', numTokens)) return;
    scheduler.totals.completionTokens -= sequence.keep(numTokens);
    sequence.finishReason = 'stop';
  }

  #completeIfDone(output: OpenOutput): void {
    const { request, choices } = output;
    if (output.isClosed || output.isNaming || !choices.every(({ isDone }) => isDone)) return;
    const finished = choices.map((choice) => choice.toChoice());
    const { numLogprobs } = request.params;
    if (numLogprobs < 0) {
      this.#complete(output, finished);
      return;
    }
    output.isNaming = true;
    this.#naming.name(finished, numLogprobs, (result) => {
      if (output.isClosed) return;
      if ('error' in result) this.#fail(output, result.error);
      else this.#complete(output, finished, result.names);
    });
  }

  #complete(
    output: OpenOutput,
    finished: readonly ChoiceRecord[],
    names?: readonly NamedTokens[],
  ): void {
    const { request, choices } = output;
    this.#close(output);
    const { promptIds, numCachedTokens: cachedTokens } = request;
    let completionTokens = 0;
    for (const { sequence } of choices) completionTokens += sequence.generated.length;
    this.#options.outbox.addOutcome({
      key: request.key,
      choices: finished,
      usage: { promptTokens: promptIds.length, cachedTokens, completionTokens },
      ...(names !== undefined && { names }),
    });
  }

  /** The text could not be made. */
  #fail(output: OpenOutput, error: ErrorRecord): void {
    const { scheduler, outbox } = this.#options;
    const { key } = output.request;
    this.#close(output);
    outbox.addOutcome({ key, error });
    scheduler.abort(key);
    // It has counted as finished, now or when its tokens were complete.
    scheduler.totals.finishedRequests--;
    scheduler.totals.failedRequests++;
  }

  #close(output: OpenOutput): void {
    output.isClosed = true;
    this.#open.delete(output.request.key);
    if (output.isIncremental) {
      for (const { sequence } of output.choices) this.#growing.delete(sequence);
    }
    if (this.#open.size > 0) return;
    for (const resolve of this.#onIdle) resolve();
    this.#onIdle = [];
  }
}

/** Whether a request's text is needed before it has ended; its tokens have to be told then. */
export function isDetokenizedAsItGrows(stream: boolean, stop: readonly string[]): boolean {
  return stream || stop.length > 0;
}
