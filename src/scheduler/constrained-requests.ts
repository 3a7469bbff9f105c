/**
 * The token masks of requests with a JSON schema. A sequence asks for one before it comes to a
 * device and whenever it has got a token; those that ask together share a job of the text pool.
 */

import type { MaskedRow, MaskRow, TextTasks } from '../protocol/text-jobs.js';
import type { Effects } from './effects.js';
import { JobBatcher } from './job-batcher.js';
import type { Scheduler } from './scheduler.js';
import type { ScheduledRequest, Sequence } from './sequence.js';

const MAX_MASKS_PER_JOB = 32;

export interface ConstrainedRequestsOptions {
  readonly text: Pick<TextTasks, 'maskTokens'>;
  readonly scheduler: Pick<Scheduler, 'setMask' | 'reject'>;
  readonly vocabSize: number;
  /** Sequences may draw, or requests have failed. */
  readonly onSchedulerChanged: () => void;
}

/** Owns the schemas of constrained requests from their admission to the scheduler to their end. */
export class ConstrainedRequests {
  readonly #options: ConstrainedRequestsOptions;
  /** As JSON text, by the request's key. */
  readonly #schemas = new Map<number, string>();
  readonly #batcher: JobBatcher<Sequence, MaskedRow>;
  readonly #queued = new Set<Sequence>();
  /** Of sequences that have ended since the last job. */
  #ended: number[] = [];

  constructor(options: ConstrainedRequestsOptions) {
    this.#options = options;
    this.#batcher = new JobBatcher<Sequence, MaskedRow>(
      {
        run: (sequences) => this.#run(sequences),
        maxRowsPerJob: MAX_MASKS_PER_JOB,
        isWanted: ({ request }) => this.#schemas.has(request.key),
      },
      options.onSchedulerChanged,
    );
  }

  /** Takes a constrained request over that the scheduler has just taken in. */
  open({ key }: ScheduledRequest, schema: string): void {
    this.#schemas.set(key, schema);
  }

  /** Looks at what has happened in the scheduler; the caller clears the effects. */
  take({ maskless, advanced, ended }: Effects): void {
    if (this.#schemas.size === 0) return;
    for (const sequence of maskless) this.#ask(sequence);
    for (const sequence of advanced) this.#ask(sequence);
    for (const { key, sequences } of ended) {
      if (!this.#schemas.delete(key)) continue;
      for (const sequence of sequences) {
        this.#queued.delete(sequence);
        this.#ended.push(sequence.arrival);
      }
    }
  }

  #ask(sequence: Sequence): void {
    if (!isWaitingForMask(sequence) || this.#queued.has(sequence)) return;
    this.#queued.add(sequence);
    this.#batcher.add(sequence, (row) => this.#takeMask(sequence, row));
  }

  #run(sequences: readonly Sequence[]): Promise<readonly MaskedRow[]> {
    const places = new Map<string, number>();
    const rows = sequences.map((sequence): MaskRow => {
      const schema = this.#schemas.get(sequence.request.key) ?? '';
      const schemaIndex = places.get(schema) ?? places.size;
      places.set(schema, schemaIndex);
      // A copy: what is posted to a thread travels with all of its buffer.
      const tokenIds = sequence.generated.view().slice();
      return { sequence: sequence.arrival, schemaIndex, tokenIds };
    });
    const ended = this.#ended;
    this.#ended = [];
    const { vocabSize, text } = this.#options;
    const endTokenIds = sequences[0]?.request.params.stopTokenIds ?? [];
    return text.maskTokens({ schemas: [...places.keys()], rows, ended, vocabSize, endTokenIds });
  }

  #takeMask(sequence: Sequence, row: MaskedRow): void {
    const { scheduler } = this.#options;
    const { key } = sequence.request;
    this.#queued.delete(sequence);
    if ('error' in row) scheduler.reject(key, row.error);
    else scheduler.setMask(key, sequence.choice, row.words);
  }
}

function isWaitingForMask({ state, lacksMask }: Sequence): boolean {
  return lacksMask && state !== 'finished';
}
