/** The options that every command with an engine has. */

import type { Command } from 'commander';
import type { EngineOptions } from '../protocol/options.js';
import type { GcPolicy } from '../protocol/report.js';
import { parseCaptureSizes, parseCount, parseDevices, parseGcPolicy } from './arguments.js';

export interface EngineArguments {
  readonly model: string;
  readonly devices?: 'auto' | string[];
  readonly gcPolicy?: GcPolicy;
  readonly captureSizes?: 'vllm67' | number[];
  readonly maxNumSeqs?: number;
  readonly maxModelLen?: number;
  readonly kvCacheBytes?: number;
  readonly enforceEager?: boolean;
}

export function addEngineOptions(command: Command): Command {
  return command
    .requiredOption('--model <dir>', 'checkpoint folder')
    .option('--devices <list>', 'auto, or names such as cpu or cuda:0,cuda:1', parseDevices)
    .option(
      '--gc-policy <policy>',
      'frozen, collect-per-graph, collect-every:N or none',
      parseGcPolicy,
    )
    .option('--capture-sizes <list>', 'decode batch sizes to capture, or vllm67', parseCaptureSizes)
    .option('--max-num-seqs <n>', 'sequences that run at once, per device', parseCount)
    .option('--max-model-len <n>', 'longest sequence, in tokens', parseCount)
    .option('--kv-cache-bytes <n>', 'bytes of KV cache per device', parseCount)
    .option('--enforce-eager', 'capture no graphs');
}

/** What of the arguments the engine takes; absent ones stay absent. */
export function toEngineOptions(args: EngineArguments): EngineOptions {
  const { model, devices, gcPolicy, captureSizes, maxNumSeqs, maxModelLen } = args;
  return {
    model,
    ...(devices !== undefined && { devices }),
    ...(gcPolicy !== undefined && { gcPolicy }),
    ...(captureSizes !== undefined && { captureSizes }),
    ...(maxNumSeqs !== undefined && { maxNumSeqs }),
    ...(maxModelLen !== undefined && { maxModelLen }),
    ...(args.kvCacheBytes !== undefined && { kvCacheBytes: args.kvCacheBytes }),
    ...(args.enforceEager === true && { enforceEager: true }),
  };
}
