/** What a collector is given. */

import type { Writable } from 'node:stream';
import { checkOptions, type JobSettings } from '../jobs/job-settings.js';
import type { BatchFileProgress, BatchFileSummary } from '../jobs/tally.js';
import { parseQueueAddress, type QueueAddress } from './queue-address.js';
import { flag, jobName, listener, readOptions } from './queue-options.js';

/** Options of {@link collectBatchFile}. */
export interface CollectOptions {
  /** `redis://host/name`. */
  readonly queue: string | URL;
  /** The job's name; may be left out where the queue has one job. */
  readonly job?: string;
  /** As in `runBatchFile`, like the next three. */
  readonly output: string | URL | Writable;
  readonly outputErrors?: string | URL | Writable;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  /** Waits until all rows are finished. Default false: writes those that are, and ends. */
  readonly follow?: boolean;
  /** Leaves the job in the queue when all of its rows are written. Default false. */
  readonly keep?: boolean;
  /** Called whenever rows are written, and once at the start. */
  readonly onProgress?: (progress: CollectProgress) => void;
  readonly onWarning?: (message: string) => void;
  /** Ends early; collecting again with `resume` goes on. */
  readonly signal?: AbortSignal;
}

/** A job at this moment, over all machines. */
export interface CollectProgress extends BatchFileProgress {
  /** Tokens of the rows written by this run, by the machine that computed them. */
  readonly machines: readonly { readonly name: string; readonly tokens: number }[];
}

/** A job at the end of one of its collectors. */
export interface CollectSummary extends BatchFileSummary {
  /** Whether all rows of the job are written: it is submitted to its end, and nothing is unfinished. */
  readonly complete: boolean;
}

export interface CollectSettings {
  readonly address: QueueAddress;
  readonly job: string | null;
  readonly files: JobSettings;
  readonly follow: boolean;
  readonly keep: boolean;
  readonly onProgress: NonNullable<CollectOptions['onProgress']> | null;
  readonly onWarning: (message: string) => void;
}

const NAMES = [
  'queue',
  'job',
  'output',
  'outputErrors',
  'resume',
  'overwrite',
  'follow',
  'keep',
  'onProgress',
  'onWarning',
  'signal',
] as const satisfies readonly (keyof CollectOptions)[];

/** @throws ERR_BAD_OPTION */
export function checkCollectOptions(options: unknown): CollectSettings {
  const given = readOptions(options, NAMES);
  const onProgress = listener<NonNullable<CollectOptions['onProgress']>>(given, 'onProgress');
  const { queue, job, follow, keep, onProgress: _, onWarning, ...files } = given;
  return {
    address: parseQueueAddress(queue, process.env),
    job: jobName({ job }),
    files: checkOptions({ ...files, input: NO_INPUT }),
    follow: flag({ follow }, 'follow'),
    keep: flag({ keep }, 'keep'),
    onProgress,
    onWarning: listener<(message: string) => void>({ onWarning }, 'onWarning') ?? (() => {}),
  };
}

/** A collector reads none; what looks at a job's files looks at its outputs alone then. */
const NO_INPUT: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
};
