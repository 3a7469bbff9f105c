/**
 * Entry of the text pool's threads: piscina calls these functions by name. The checkpoint starts
 * to load as soon as a thread starts, in all threads at once.
 */

import { workerData } from 'node:worker_threads';
import type { TextPoolData } from '../protocol/text-jobs.js';
import { loadTextLayer } from './text-layer.js';
import { createTextTasks } from './text-tasks.js';

const { model } = workerData as TextPoolData;

export const { describe, prepare, detokenize, decode, nameTokens, maskTokens } = createTextTasks(
  loadTextLayer(model),
);
