/** What a submitter is given. */

import { basename } from 'node:path';
import type { InputStream } from '../jobs/batch-file-options.js';
import { STANDARD_STREAM } from '../jobs/job-paths.js';
import { checkOptions, type JobInput } from '../jobs/job-settings.js';
import { isName, parseQueueAddress, type QueueAddress } from './queue-address.js';
import {
  abortSignal,
  badOption,
  jobName,
  listener,
  readOptions,
  storePlace,
  wholeNumber,
} from './queue-options.js';

/** Options of {@link submitBatchFile}. */
export interface SubmitOptions {
  /** `redis://host/name`. */
  readonly queue: string | URL;
  /** As in `runBatchFile`. */
  readonly input: string | URL | InputStream;
  /** The job's name. Default: the input file's, without `.jsonl` and `.gz`. */
  readonly job?: string;
  /** Jobs of a higher priority run first. From -1,000,000 to 1,000,000, default 0. */
  readonly priority?: number;
  /**
   * A folder that all machines share, for what is large: a path, or a file: URL. Default: Redis, which
   * takes 8 MiB of a chunk at most, and `maxRedisBytes` of a job's input.
   */
  readonly store?: string | URL;
  /** Rows that a worker takes together. Default 32. */
  readonly chunkRows?: number;
  /** Without a store, the most that the job's rows may take in Redis, packed. Default 256 MiB. */
  readonly maxRedisBytes?: number;
  /** As in `runBatchFile`. */
  readonly maxLineBytes?: number;
  /** Called whenever rows have come into the queue. */
  readonly onProgress?: (progress: { readonly rows: number; readonly chunks: number }) => void;
  readonly onWarning?: (message: string) => void;
  /** Ends early: submitting the same again goes on. */
  readonly signal?: AbortSignal;
}

export interface SubmitSummary {
  readonly job: string;
  /** Rows that the job has in the queue, and its chunks. */
  readonly rows: number;
  readonly chunks: number;
  /** Rows that were there before. */
  readonly alreadyThere: number;
  readonly interrupted: boolean;
}

export interface SubmitSettings {
  readonly address: QueueAddress;
  readonly input: JobInput;
  readonly job: string;
  readonly priority: number;
  readonly store: string | URL | null;
  readonly chunkRows: number;
  readonly maxRedisBytes: number;
  readonly maxLineBytes: number;
  readonly onProgress: NonNullable<SubmitOptions['onProgress']> | null;
  readonly onWarning: (message: string) => void;
  readonly signal: AbortSignal | null;
}

const NAMES = [
  'queue',
  'input',
  'job',
  'priority',
  'store',
  'chunkRows',
  'maxRedisBytes',
  'maxLineBytes',
  'onProgress',
  'onWarning',
  'signal',
] as const satisfies readonly (keyof SubmitOptions)[];

const MAX_PRIORITY = 1_000_000;
/** @throws ERR_BAD_OPTION */
export function checkSubmitOptions(options: unknown): SubmitSettings {
  const given = readOptions(options, NAMES);
  const { input, maxLineBytes } = checkOptions({
    input: given.input,
    output: '-',
    ...(given.maxLineBytes !== undefined && { maxLineBytes: given.maxLineBytes }),
  });
  return {
    address: parseQueueAddress(given.queue, process.env),
    input,
    job: jobName(given) ?? nameAfter(input),
    priority: wholeNumber(given, 'priority', {
      min: -MAX_PRIORITY,
      max: MAX_PRIORITY,
      byDefault: 0,
    }),
    store: storePlace(given),
    chunkRows: wholeNumber(given, 'chunkRows', { min: 1, max: 10_000, byDefault: 32 }),
    maxRedisBytes: wholeNumber(given, 'maxRedisBytes', {
      min: 1,
      max: 2 ** 40,
      byDefault: 1 << 28,
    }),
    maxLineBytes,
    onProgress: listener<NonNullable<SubmitOptions['onProgress']>>(given, 'onProgress'),
    onWarning: listener<(message: string) => void>(given, 'onWarning') ?? (() => {}),
    signal: abortSignal(given),
  };
}

/** @throws ERR_BAD_OPTION when the input's name can't be a job's. */
function nameAfter(input: JobInput): string {
  const name =
    typeof input === 'string' && input !== STANDARD_STREAM
      ? basename(input).replace(/(\.jsonl?|\.ndjson)?(\.gz)?$/i, '')
      : '';
  if (isName(name)) return name;
  throw badOption(
    'job',
    `must be given: ${name === '' ? 'the input' : JSON.stringify(name)} can't name it`,
  );
}
