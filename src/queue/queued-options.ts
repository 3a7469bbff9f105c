/** What a batch file on a queue is given: what its submitter gets, and its collector. */

import type { Writable } from 'node:stream';
import { checkOptions } from '../jobs/job-settings.js';
import type { CollectOptions, CollectSettings } from './collect-options.js';
import { flag, listener, readOptions } from './queue-options.js';
import { checkSubmitOptions, type SubmitOptions, type SubmitSettings } from './submit-options.js';

/** Options of {@link runBatchFileOnQueue}. */
export interface QueuedBatchOptions
  extends Omit<SubmitOptions, 'onProgress'>,
    Omit<CollectOptions, 'follow' | 'resume'> {
  /** As in `runBatchFile`. */
  readonly resume?: boolean | 'strict';
  readonly output: string | URL | Writable;
}

export interface QueuedBatchSettings {
  readonly submit: SubmitSettings;
  readonly collect: CollectSettings;
}

const SUBMIT_NAMES = [
  'queue',
  'input',
  'job',
  'priority',
  'store',
  'chunkRows',
  'maxRedisBytes',
  'maxLineBytes',
  'onWarning',
  'signal',
] as const satisfies readonly (keyof SubmitOptions)[];

const FILE_NAMES = [
  'input',
  'output',
  'outputErrors',
  'resume',
  'overwrite',
  'maxLineBytes',
  'signal',
] as const;

const NAMES = [...new Set([...SUBMIT_NAMES, ...FILE_NAMES, 'keep', 'onProgress'])];

/** @throws ERR_BAD_OPTION */
export function checkQueuedOptions(options: unknown): QueuedBatchSettings {
  const given = readOptions(options, NAMES);
  const pick = (names: readonly string[]) =>
    Object.fromEntries(
      names.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]),
    );
  const submit = checkSubmitOptions(pick(SUBMIT_NAMES));
  const collect: CollectSettings = {
    address: submit.address,
    job: submit.job,
    files: checkOptions(pick(FILE_NAMES)),
    follow: true,
    keep: flag(given, 'keep'),
    onProgress: listener<NonNullable<CollectOptions['onProgress']>>(given, 'onProgress'),
    onWarning: submit.onWarning,
  };
  return { submit, collect };
}
