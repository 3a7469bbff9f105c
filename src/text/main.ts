/**
 * Entry of the text pool's threads: piscina calls these functions by name. The checkpoint starts
 * to load as soon as a thread starts, in all threads at once.
 */

import { workerData } from 'node:worker_threads';
import type {
  DecodedRow,
  DecodeJob,
  DetokenizedRow,
  DetokenizeJob,
  MaskedRow,
  MaskJob,
  NamedRow,
  NameTokensJob,
  PreparedRow,
  PrepareJob,
  TextPoolData,
  TextProgress,
  ThreadJob,
} from '../protocol/text-jobs.js';
import { startEncoderProcess } from './encoder-process.js';
import { loadTextLayer, type TextLayer } from './text-layer.js';
import { createTextTasks } from './text-tasks.js';

const { model, takesPrompts } = workerData as TextPoolData;
const tasks = createTextTasks(load());

async function load(): Promise<TextLayer> {
  const layer = await loadTextLayer(model, startEncoderProcess);
  // It would start again for a prompt.
  if (!takesPrompts) layer.tokenizer?.close();
  return layer;
}

export const { describe } = tasks;
export const prepare = onThread<PrepareJob, PreparedRow>(tasks.prepare);
export const detokenize = onThread<DetokenizeJob, DetokenizedRow>(tasks.detokenize);
export const decode = onThread<DecodeJob, DecodedRow>(tasks.decode);
export const nameTokens = onThread<NameTokensJob, NamedRow>(tasks.nameTokens);
export const maskTokens = onThread<MaskJob, MaskedRow>(tasks.maskTokens);

/** A task as piscina calls it: with one argument. */
function onThread<Job, Row>(
  task: (job: Job, progress: TextProgress) => Promise<readonly Row[]>,
): (threadJob: ThreadJob<Job>) => Promise<readonly Row[]> {
  return ({ job, progress }) => task(job, progress);
}
