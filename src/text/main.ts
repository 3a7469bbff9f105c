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
import { CutRows } from './cut-rows.js';
import { EncoderProcess } from './encoder-process.js';
import { loadTextLayer, type TextLayer } from './text-layer.js';
import { createTextTasks } from './text-tasks.js';

const { model, takesPrompts, memoryBytes } = workerData as TextPoolData;
const cutRows = new CutRows(memoryBytes);
const loading = loadTextLayer(model, (json) => new EncoderProcess(json, { watch: cutRows }));
const tasks = createTextTasks(loading.then(keepEncoder));

export const { describe } = tasks;
export const prepare = onThread<PrepareJob, PreparedRow>((job, progress) => {
  cutRows.beginJob(job, progress);
  return tasks.prepare(job, progress);
});
export const detokenize = onThread<DetokenizeJob, DetokenizedRow>(tasks.detokenize);
export const decode = onThread<DecodeJob, DecodedRow>(tasks.decode);
export const nameTokens = onThread<NameTokensJob, NamedRow>(tasks.nameTokens);
export const maskTokens = onThread<MaskJob, MaskedRow>(tasks.maskTokens);

/** A process that nobody will ask takes only memory. */
function keepEncoder(layer: TextLayer): TextLayer {
  if (!takesPrompts) layer.tokenizer?.close();
  return layer;
}

/** A task as piscina calls it: with one argument. */
function onThread<Job, Row>(
  task: (job: Job, progress: TextProgress) => Promise<readonly Row[]>,
): (threadJob: ThreadJob<Job>) => Promise<readonly Row[]> {
  return ({ job, progress }) => task(job, progress);
}
