/** The options that every command with an engine has. */

import { Command, Option } from 'commander';
import { findHere } from '../hub/find-model.js';
import { PermafrostError } from '../protocol/errors.js';
import { explainFolder } from '../protocol/model-folder.js';
import {
  type EngineOptions,
  type ProductPlanMode,
  resolveEngineOptions,
} from '../protocol/options.js';
import type { GcPolicy } from '../protocol/report.js';
import {
  parseCaptureSizes,
  parseCount,
  parseDevices,
  parseGcPolicy,
  parseNumber,
} from './arguments.js';
import { UsageError } from './exit-code.js';

export interface EngineFlags {
  readonly model: string;
  readonly devices: 'auto' | 'cuda' | string[];
  readonly gcPolicy?: GcPolicy;
  readonly captureSizes?: 'vllm67' | number[];
  readonly enforceEager?: boolean;
  readonly productPlan?: ProductPlanMode;
  readonly maxNumSeqs?: number;
  readonly maxModelLen?: number;
  readonly kvCacheBytes?: number;
  readonly gpuMemoryUtilization?: number;
  readonly maxRequestBytes?: number;
  readonly maxRequestValues?: number;
  readonly textThreads?: number;
  readonly textTimeoutMs?: number;
  readonly textMemoryBytes?: number;
}

export function addEngineFlags(command: Command): Command {
  return command
    .requiredOption('-m, --model <model>', 'checkpoint folder, or org/name[@revision] of the hub')
    .option(
      '-d, --devices <list>',
      'auto, cuda (all GPUs), cpu, or cuda:0,cuda:1',
      parseDevices,
      'auto',
    )
    .option(
      '--gc-policy <policy>',
      'frozen, collect-per-graph, collect-every:N or none (default: frozen)',
      parseGcPolicy,
    )
    .option('--capture-sizes <list>', 'batch sizes such as 1,2,4, or vllm67', parseCaptureSizes)
    .option('--enforce-eager', 'capture no graphs')
    .addOption(
      new Option('--product-plan <mode>', 'how products are done on a GPU').choices([
        'measured',
        'fixed',
      ]),
    )
    .option('--max-num-seqs <n>', 'sequences at once, per device', parseCount)
    .option('--max-model-len <n>', 'longest sequence, in tokens', parseCount)
    .option('--kv-cache-bytes <n>', 'KV cache, per device', parseCount)
    .option('--gpu-memory-utilization <x>', 'share of device memory, 0 to 1', parseNumber)
    .option('--max-request-bytes <n>', 'size of one request', parseCount)
    .option('--max-request-values <n>', 'messages and other values of one request', parseCount)
    .option('--text-threads <n>', 'threads that tokenize prompts', parseCount)
    .option('--text-timeout-ms <n>', "time for one request's text work", parseNumber)
    .option('--text-memory-bytes <n>', 'memory of each of those threads', parseCount);
}

export function engineOptions(flags: EngineFlags): EngineOptions {
  return {
    model: flags.model,
    devices: flags.devices,
    ...(flags.gcPolicy !== undefined && { gcPolicy: flags.gcPolicy }),
    ...(flags.captureSizes !== undefined && { captureSizes: flags.captureSizes }),
    ...(flags.enforceEager !== undefined && { enforceEager: flags.enforceEager }),
    ...(flags.productPlan !== undefined && { productPlan: flags.productPlan }),
    ...(flags.maxNumSeqs !== undefined && { maxNumSeqs: flags.maxNumSeqs }),
    ...(flags.maxModelLen !== undefined && { maxModelLen: flags.maxModelLen }),
    ...(flags.kvCacheBytes !== undefined && { kvCacheBytes: flags.kvCacheBytes }),
    ...(flags.gpuMemoryUtilization !== undefined && {
      gpuMemoryUtilization: flags.gpuMemoryUtilization,
    }),
    ...(flags.maxRequestBytes !== undefined && { maxRequestBytes: flags.maxRequestBytes }),
    ...(flags.maxRequestValues !== undefined && { maxRequestValues: flags.maxRequestValues }),
    ...(flags.textThreads !== undefined && { textThreads: flags.textThreads }),
    ...(flags.textTimeoutMs !== undefined && { textTimeoutMs: flags.textTimeoutMs }),
    ...(flags.textMemoryBytes !== undefined && { textMemoryBytes: flags.textMemoryBytes }),
  };
}

/**
 * Finds what is wrong before an engine is started.
 *
 * @throws ERR_BAD_OPTION with the flag and its value; UsageError when --model is no folder of a
 *   model, and none that may be downloaded.
 */
export async function checkEngineFlags(flags: EngineFlags): Promise<void> {
  inFlags(() => resolveEngineOptions(engineOptions(flags), process.env));
  const folder = await findHere(flags.model, process.env).catch((cause: unknown) => {
    throw new UsageError('no model', { cause });
  });
  // What is to be downloaded is looked at by who does that.
  if (folder === null) return;
  const missing = new PermafrostError('ERR_MODEL_NOT_FOUND', `${flags.model} holds no model`);
  const problem = await explainFolder(folder, missing);
  if (problem !== missing) throw new UsageError('no model', { cause: problem });
}

/**
 * Calls what checks options by their names in the API, and names them as flags in its error.
 *
 * @throws what `check` throws.
 */
export function inFlags<Result>(check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof PermafrostError)) throw error;
    throw new PermafrostError(error.code, withFlagNames(error.message), { cause: error });
  }
}

/** Options of the API that are flags too, by their names. */
const FLAGS: ReadonlyMap<string, string> = new Map(
  [
    ...addEngineFlags(new Command()).options.map((option) => option.attributeName()),
    ...['input', 'output', 'outputErrors', 'resume', 'overwrite', 'shard', 'maxInflight'],
    ...['maxTokens', 'temperature'],
    ...['queue', 'job', 'priority', 'store', 'chunkRows', 'maxRedisBytes', 'lockMs', 'untilEmpty'],
  ].map((name) => [name, `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`]),
);

/** `maxNumSeqs: …` → `--max-num-seqs: …`; so too inside a sentence, where no other word is meant. */
export function withFlagNames(message: string): string {
  return message
    .replaceAll(/(^|; )(?:params\.)?(\w+)(?:\[\d+\])?: /g, (all, before: string, name: string) =>
      name === 'prompt' ? `${before}the prompt: ` : replaced(all, before, name, ': '),
    )
    .replaceAll(
      /(^|[ (])([a-z]+(?:[A-Z][a-z]+)+)(?=[ ,;:.)]|$)/g,
      (all, before: string, name: string) => replaced(all, before, name, ''),
    );
}

function replaced(all: string, before: string, name: string, after: string): string {
  const flag = FLAGS.get(name);
  return flag === undefined ? all : `${before}${flag}${after}`;
}
