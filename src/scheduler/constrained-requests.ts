/**
 * The token masks of requests with a JSON schema. A sequence asks for one before it comes to a
 * device and whenever it has got a token; those that ask together share a job of the text pool.
 */

import type { JsonConstraint, MaskedRow, MaskRow } from '../protocol/text-jobs.js';
import type { Effects } from './effects.js';
import { JobBatcher } from './job-batcher.js';
import type { Scheduler } from './scheduler.js';
import { digestOf, SchemaSpeeds } from './schema-speeds.js';
import type { ScheduledRequest, Sequence } from './sequence.js';
import { numLongThreads, quickLimits, rankOfLength, type TextLimits } from './text-limits.js';
import type { TextPool } from './text-pool.js';
import type { TextWork } from './text-work.js';

const MAX_MASKS_PER_JOB = 32;
/** A job with more kinds of schemas than this has said enough. */
const MAX_WARNINGS = 100;

export interface ConstrainedRequestsOptions {
  readonly text: Pick<TextPool, 'maskTokens'>;
  readonly scheduler: Pick<Scheduler, 'setMask' | 'reject'>;
  readonly vocabSize: number;
  readonly textLimits: TextLimits;
  /** Tells the host whose schema is worked on. */
  readonly textWork: TextWork;
  readonly now: () => number;
  /** Tells the application something. */
  readonly warn: (message: string) => void;
  /** Sequences may draw, or requests have failed. */
  readonly onSchedulerChanged: () => void;
}

/** Owns the schemas of constrained requests from their admission to the scheduler to their end. */
export class ConstrainedRequests {
  readonly #options: ConstrainedRequestsOptions;
  /** By the request's key. */
  readonly #schemas = new Map<number, Schema>();
  /** Of schemas that are known to be compiled soon. */
  readonly #quick: JobBatcher<Sequence, MaskedRow>;
  /** Of the others, on threads that nobody else waits for. */
  readonly #long: JobBatcher<Sequence, MaskedRow>;
  readonly #speeds = new SchemaSpeeds();
  /** What the application has been told. */
  readonly #warnings = new Set<string>();
  readonly #queued = new Set<Sequence>();
  /** Of sequences that have ended since the last job. */
  #ended: number[] = [];

  constructor(options: ConstrainedRequestsOptions) {
    const { textLimits, textWork, now, onSchedulerChanged } = options;
    this.#options = options;
    const isWanted = ({ request }: Sequence): boolean => this.#schemas.has(request.key);
    this.#quick = new JobBatcher<Sequence, MaskedRow>(
      {
        run: (sequences, isWanted) => this.#run(sequences, isWanted, false),
        maxRowsPerJob: MAX_MASKS_PER_JOB,
        isWanted,
      },
      onSchedulerChanged,
    );
    this.#long = new JobBatcher<Sequence, MaskedRow>(
      {
        run: (sequences, isWanted) => {
          const keys = sequences.map(({ request }) => request.key);
          return textWork.during(keys, () => this.#run(sequences, isWanted, true));
        },
        maxRowsPerJob: MAX_MASKS_PER_JOB,
        maxJobs: numLongThreads(textLimits),
        isWanted,
        rankOf: ({ request }) => {
          return rankOfLength(this.#schemas.get(request.key)?.constraint.schema.length ?? 0, now());
        },
        // One that takes for ever holds up no other.
        groupOf: ({ request }) => this.#schemas.get(request.key)?.digest ?? '',
      },
      onSchedulerChanged,
    );
  }

  /** Takes a constrained request over that the scheduler has just taken in. */
  open({ key }: ScheduledRequest, constraint: JsonConstraint): void {
    const digest = digestOf(`${constraint.isStrict} ${constraint.schema}`);
    this.#schemas.set(key, { constraint, digest });
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
    const schema = this.#schemas.get(sequence.request.key);
    const isQuick = schema !== undefined && this.#speeds.isQuick(schema.digest);
    if (isQuick) this.#quick.add(sequence, (row) => this.#takeQuick(sequence, schema, row));
    else this.#askLong(sequence, schema);
  }

  #askLong(sequence: Sequence, schema: Schema | undefined): void {
    this.#long.add(sequence, (row) => this.#takeMask(sequence, schema, row));
  }

  /** What takes longer than it used to gets more time, where nobody waits for it. */
  #takeQuick(sequence: Sequence, schema: Schema, row: MaskedRow): void {
    if ('error' in row && row.error.code === 'ERR_TEXT_LIMIT') {
      this.#speeds.noteSlow(schema.digest);
      this.#askLong(sequence, schema);
      return;
    }
    this.#takeMask(sequence, schema, row);
  }

  #run(
    sequences: readonly Sequence[],
    isWanted: () => boolean,
    isLong: boolean,
  ): Promise<readonly MaskedRow[]> {
    const places = new Map<string, number>();
    const constraints: JsonConstraint[] = [];
    const rows = sequences.map((sequence): MaskRow => {
      const { constraint, digest } = this.#schemas.get(sequence.request.key) ?? NO_SCHEMA;
      const constraintIndex = places.get(digest) ?? constraints.push(constraint) - 1;
      places.set(digest, constraintIndex);
      // A copy: what is posted to a thread travels with all of its buffer.
      const tokenIds = sequence.generated.view().slice();
      return { sequence: sequence.arrival, constraintIndex, tokenIds };
    });
    // Those threads forget by themselves: a sequence does not come to the same one every time.
    const ended = isLong ? [] : this.#ended;
    if (!isLong) this.#ended = [];
    const { vocabSize, text, textLimits } = this.#options;
    const endTokenIds = sequences[0]?.request.params.stopTokenIds ?? [];
    const { timeoutMs } = textLimits;
    const rowTimeoutMs = isLong ? timeoutMs : quickLimits(timeoutMs).rowTimeoutMs;
    return text.maskTokens(
      { constraints, rows, ended, vocabSize, endTokenIds, isLong, rowTimeoutMs },
      isWanted,
    );
  }

  #takeMask(sequence: Sequence, schema: Schema | undefined, row: MaskedRow): void {
    const { scheduler } = this.#options;
    const { key } = sequence.request;
    this.#queued.delete(sequence);
    if ('error' in row) {
      scheduler.reject(key, row.error);
      return;
    }
    if (schema !== undefined) this.#speeds.note(schema.digest, row.elapsedMs);
    scheduler.setMask(key, sequence.choice, row.words);
    if (row.notes !== undefined && row.notes.length > 0) this.#warn(row.notes);
  }

  /** Once for all requests of which the same is left out. */
  #warn(notes: readonly string[]): void {
    const message = `answers may not hold to all of their JSON schema: ${notes.join(', ')} not enforced`;
    if (this.#warnings.has(message) || this.#warnings.size >= MAX_WARNINGS) return;
    this.#warnings.add(message);
    this.#options.warn(message);
  }
}

interface Schema {
  readonly constraint: JsonConstraint;
  /** What it is remembered by. */
  readonly digest: string;
}

/** What a request has that has ended meanwhile: its mask is dropped. */
const NO_SCHEMA: Schema = { constraint: { schema: '{}', isStrict: true }, digest: '' };

function isWaitingForMask({ state, lacksMask }: Sequence): boolean {
  return lacksMask && state !== 'finished';
}
