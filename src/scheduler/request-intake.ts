/** From a submitted request to one that the scheduler has: checks, defaults, tokens. */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import type { ResumedChoice, SubmittedRequest } from '../protocol/messages.js';
import type { FinishReason, ResponseFormat } from '../protocol/requests.js';
import type { JsonConstraint, PreparedRow, PrepareJob, TextPrompt } from '../protocol/text-jobs.js';
import { JobBatcher } from './job-batcher.js';
import type { Outbox } from './outbox.js';
import { isDetokenizedAsItGrows } from './request-output.js';
import { type ResolveContext, type ResolvedParams, resolveParams } from './resolved-request.js';
import type { Scheduler } from './scheduler.js';
import type { ScheduledRequest } from './sequence.js';
import {
  isQuickLength,
  lengthOfPrompt,
  longLimits,
  numLongThreads,
  quickLimits,
  rankOfLength,
  rankOfQuickLength,
  type TextLimits,
} from './text-limits.js';
import type { TextPool } from './text-pool.js';
import type { TextWork } from './text-work.js';

const MAX_PROMPTS_PER_JOB = 64;
/** Node's timers hold no longer delay. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface RequestIntakeOptions {
  readonly text: Pick<TextPool, 'prepare'>;
  readonly textLimits: TextLimits;
  /** Tells the host whose text is worked on. */
  readonly textWork: TextWork;
  readonly hasTokenizer: boolean;
  readonly context: ResolveContext;
  readonly scheduler: Pick<Scheduler, 'add' | 'totals'>;
  readonly outbox: Outbox;
  /** The scheduler has taken a request in. `resumed`: what its caller has of it. */
  readonly onAdmitted: (
    request: ScheduledRequest,
    stop: readonly string[],
    resumed: readonly ResumedChoice[],
  ) => void;
  /** The same of a request whose text is constrained. */
  readonly onConstrained: (request: ScheduledRequest, constraint: JsonConstraint) => void;
  /** Tokenized requests have been added to the scheduler. */
  readonly onSchedulerChanged: () => void;
  /** The clock of the deadlines. */
  readonly now: () => number;
}

interface Entry {
  readonly request: SubmittedRequest;
  readonly params: ResolvedParams;
  readonly stop: readonly string[];
  /** null = the answer may be any text. */
  readonly constraint: JsonConstraint | null;
}

interface TextEntry extends Entry {
  readonly prompt: TextPrompt;
  /** In characters, about. */
  readonly length: number;
  /** Of its deadline. */
  readonly timer: NodeJS.Timeout | undefined;
}

/** Owns requests from their arrival until the scheduler has them. */
export class RequestIntake {
  readonly #options: RequestIntakeOptions;
  readonly #preparing = new Map<number, TextEntry>();
  /** Prompts that seem to be soon done. */
  readonly #quick: JobBatcher<TextEntry, PreparedRow>;
  /** The others, one in a job. */
  readonly #long: JobBatcher<TextEntry, PreparedRow>;

  constructor(options: RequestIntakeOptions) {
    const { textLimits, now, onSchedulerChanged } = options;
    const { numThreads, timeoutMs } = textLimits;
    this.#options = options;
    const isWanted = ({ request }: TextEntry): boolean => this.#preparing.has(request.key);
    this.#quick = new JobBatcher<TextEntry, PreparedRow>(
      {
        run: (entries, isWanted) =>
          this.#prepare(entries, isWanted, { isLong: false, ...quickLimits(timeoutMs) }),
        maxRowsPerJob: MAX_PROMPTS_PER_JOB,
        maxJobs: numThreads,
        isWanted,
        rankOf: ({ length }) => rankOfQuickLength(length, now()),
      },
      onSchedulerChanged,
    );
    this.#long = new JobBatcher<TextEntry, PreparedRow>(
      {
        run: (entries, isWanted) => {
          const length = entries.reduce((sum, entry) => sum + entry.length, 0);
          const limits = longLimits(timeoutMs, length);
          return this.#prepare(entries, isWanted, { isLong: true, ...limits });
        },
        maxRowsPerJob: 1,
        maxJobs: numLongThreads(textLimits),
        isWanted,
        rankOf: ({ length }) => rankOfLength(length, now()),
      },
      onSchedulerChanged,
    );
  }

  /** Requests that are being tokenized. */
  get numPreparing(): number {
    return this.#preparing.size;
  }

  /** Takes a request in; the scheduler has it at once or after its prompt was tokenized. */
  submit(request: SubmittedRequest): void {
    try {
      this.#submit(request);
    } catch (error) {
      this.#fail(request.key, PermafrostError.toRecord(error));
    }
  }

  /** Ends a request that is still being tokenized; false when there is none with this key. */
  abort(key: number, finishReason: FinishReason = 'abort'): boolean {
    const entry = this.#preparing.get(key);
    if (entry === undefined) return false;
    this.#forget(entry);
    const { n, numLogprobs } = entry.params;
    const tokenIds = new Int32Array(0);
    const logprobs = numLogprobs >= 0 ? { logprobWords: tokenIds } : {};
    const choice = { text: '', tokenIds, finishReason, ...logprobs } as const;
    this.#options.scheduler.totals.finishedRequests++;
    this.#options.outbox.addOutcome({
      key,
      choices: Array.from({ length: n }, () => choice),
      usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
    });
    return true;
  }

  /** Ends all requests that are still being tokenized. */
  abortAll(): void {
    for (const key of [...this.#preparing.keys()]) this.abort(key);
  }

  #submit(request: SubmittedRequest): void {
    const { prompt, params } = request;
    const stop = typeof params.stop === 'string' ? [params.stop] : (params.stop ?? []);
    if (!this.#options.hasTokenizer && (isTextPrompt(prompt) || stop.length > 0)) {
      throw new PermafrostError(
        'ERR_NO_TOKENIZER',
        'the checkpoint has no tokenizer.json: give the prompt as token ids, and no stop strings',
      );
    }
    const resolved = resolveParams(params, this.#options.context);
    const constraint = constraintOf(params.responseFormat);
    if (constraint !== null) this.#checkConstrained(resolved);
    const entry = { request, stop, constraint, params: resolved };
    if (!isTextPrompt(prompt)) {
      this.#admit(entry, prompt);
      return;
    }
    const length = lengthOfPrompt(prompt);
    const textEntry = { ...entry, prompt, length, timer: this.#timerOf(request) };
    this.#preparing.set(request.key, textEntry);
    if (isQuickLength(length)) {
      this.#quick.add(textEntry, (row) => this.#takeQuick(textEntry, row));
    } else {
      this.#long.add(textEntry, (row) => this.#takePrepared(textEntry, row));
    }
  }

  /** Ends a request whose deadline comes before its prompt is ready. */
  #timerOf({ key, deadlineAtMs }: SubmittedRequest): NodeJS.Timeout | undefined {
    if (deadlineAtMs === null) return undefined;
    const delayMs = deadlineAtMs - this.#options.now();
    if (delayMs > MAX_TIMER_MS) return undefined;
    return setTimeout(() => this.abort(key, 'deadline'), Math.max(0, Math.ceil(delayMs)));
  }

  #forget({ request, timer }: TextEntry): boolean {
    clearTimeout(timer);
    return this.#preparing.delete(request.key);
  }

  async #prepare(
    entries: readonly TextEntry[],
    isWanted: () => boolean,
    limits: Omit<PrepareJob, 'prompts'>,
  ): Promise<readonly PreparedRow[]> {
    const { text, textWork } = this.#options;
    const prompts = entries.map(({ prompt }) => prompt);
    const keys = entries.map(({ request }) => request.key);
    return textWork.during(keys, () => text.prepare({ prompts, ...limits }, isWanted));
  }

  /** What took longer than it seemed gets more time, where nobody waits for it. */
  #takeQuick(entry: TextEntry, row: PreparedRow): void {
    if (!('error' in row) || row.error.code !== 'ERR_TEXT_LIMIT') {
      this.#takePrepared(entry, row);
      return;
    }
    if (!this.#preparing.has(entry.request.key)) return;
    this.#long.add(entry, (longRow) => this.#takePrepared(entry, longRow));
  }

  #takePrepared(entry: TextEntry, row: PreparedRow): void {
    const { key } = entry.request;
    if (!this.#forget(entry)) return;
    if ('error' in row) {
      this.#fail(key, row.error);
      return;
    }
    try {
      this.#admit(entry, row.tokenIds);
    } catch (error) {
      this.#fail(key, PermafrostError.toRecord(error));
    }
  }

  /** Whether the checkpoint can write JSON and end it. */
  #checkConstrained({ stopTokenIds }: ResolvedParams): void {
    if (!this.#options.hasTokenizer) {
      throw new PermafrostError(
        'ERR_NO_TOKENIZER',
        'the checkpoint has no tokenizer.json: a JSON responseFormat needs one',
      );
    }
    if (stopTokenIds.length === 0) {
      throw new PermafrostError(
        'ERR_UNSUPPORTED',
        'the checkpoint names no end-of-sequence id: a JSON responseFormat needs one',
      );
    }
  }

  #admit({ request, params, stop, constraint }: Entry, promptIds: Int32Array): void {
    const { key, priority = 0, deadlineAtMs, stream, resume } = request;
    const scheduled = this.#options.scheduler.add({
      key,
      promptIds,
      params,
      priority,
      deadlineAtMs: deadlineAtMs ?? Number.POSITIVE_INFINITY,
      stream,
      tellsTokens: constraint !== null || isDetokenizedAsItGrows(stream, stop),
      isConstrained: constraint !== null,
      ...(resume !== undefined && { resume }),
    });
    this.#options.onAdmitted(scheduled, stop, resume?.choices ?? []);
    if (constraint !== null) this.#options.onConstrained(scheduled, constraint);
  }

  #fail(key: number, error: ErrorRecord): void {
    this.#options.scheduler.totals.failedRequests++;
    this.#options.outbox.addOutcome({ key, error });
  }
}

function constraintOf(format: ResponseFormat | undefined): JsonConstraint | null {
  switch (format?.type) {
    case 'json_object':
      return { schema: '{"type":"object"}', isStrict: true };
    case 'json_schema':
      return { schema: JSON.stringify(format.schema), isStrict: format.strict ?? true };
    default:
      return null;
  }
}

function isTextPrompt(prompt: SubmittedRequest['prompt']): prompt is TextPrompt {
  return typeof prompt === 'string' || 'messages' in prompt;
}
