/** What the native suites share: the addon, runner options, and step blocks written by hand. */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import {
  ADMIT_WORDS,
  Admit,
  STEP_HEADER_WORDS,
  StepHeader,
} from '../../src/protocol/step-block.js';
import type { NativeAddon, NativeRunner, NativeRunnerOptions } from '../../src/workers/native.js';

export const addon = createRequire(import.meta.url)(
  '../../build/Release/permafrost.node',
) as NativeAddon;

export const TINY = fileURLToPath(new URL('../../models/tiny', import.meta.url));

export function golden(model: string): string {
  return fileURLToPath(new URL(`../fixtures/golden/${model}`, import.meta.url));
}

export function runnerOptions(overrides: Partial<NativeRunnerOptions> = {}): NativeRunnerOptions {
  return {
    model: TINY,
    device: 'cpu:0',
    maxNumSeqs: 8,
    maxModelLen: 0,
    blockSize: 16,
    kvCacheBytes: 1 << 24,
    gpuMemoryUtilization: 0.9,
    maxBatchedTokens: 256,
    numGraphs: 0,
    cpuThreads: 2,
    nice: 0,
    ...overrides,
  };
}

/** A runner that is ready to capture. */
export function loadedRunner(overrides: Partial<NativeRunnerOptions> = {}): NativeRunner {
  const runner = new addon.Runner(runnerOptions(overrides));
  runner.loadWeights();
  runner.reserve();
  return runner;
}

const bits = new DataView(new ArrayBuffer(4));

/** The bits of a number as a float32. */
export function floatBits(value: number): number {
  bits.setFloat32(0, value);
  return bits.getInt32(0);
}

/** Greedy parameters for a slot, with changes. */
export function admission(
  slot: number,
  changes: Partial<Record<keyof typeof Admit, number>> = {},
): number[] {
  const words = new Array<number>(ADMIT_WORDS).fill(0);
  words[Admit.slot] = slot;
  words[Admit.topP] = floatBits(1);
  words[Admit.repetitionPenalty] = floatBits(1);
  words[Admit.numLogprobs] = -1;
  for (const [name, value] of Object.entries(changes))
    words[Admit[name as keyof typeof Admit]] = value;
  return words;
}

export interface StepParts {
  readonly released?: readonly number[];
  readonly admitted?: readonly (readonly number[])[];
  readonly appends?: readonly { slot: number; column: number; blocks: readonly number[] }[];
  readonly prefills?: readonly {
    slot: number;
    position: number;
    tokens: readonly number[];
    last: boolean;
  }[];
  readonly copies?: readonly (readonly [source: number, target: number])[];
  readonly masks?: readonly { slot: number; words: readonly number[] }[];
  readonly held?: readonly number[];
  readonly numDecode?: number;
}

/** A step's words, see step-block.ts. */
export function step(stepId: number, parts: StepParts): Int32Array {
  const { released = [], admitted = [], appends = [], copies = [] } = parts;
  const { masks = [], prefills = [], held = [] } = parts;
  const header = new Array<number>(STEP_HEADER_WORDS).fill(0);
  header[StepHeader.stepId] = stepId;
  header[StepHeader.numReleased] = released.length;
  header[StepHeader.numAdmitted] = admitted.length;
  header[StepHeader.numAppends] = appends.length;
  header[StepHeader.numCopies] = copies.length;
  header[StepHeader.numPrefills] = prefills.length;
  header[StepHeader.numHeld] = held.length;
  header[StepHeader.numDecode] = parts.numDecode ?? 0;
  header[StepHeader.numMasks] = masks.length;
  const words = [
    ...header,
    ...released,
    ...admitted.flat(),
    ...appends.flatMap(({ slot, column, blocks }) => [slot, column, blocks.length, ...blocks]),
    ...copies.flat(),
    ...masks.flatMap(({ slot, words }) => [slot, ...words]),
    ...prefills.flatMap(({ slot, position, tokens, last }) => [
      slot,
      position,
      tokens.length,
      last ? 1 : 0,
      ...tokens,
    ]),
    ...held,
  ];
  words[StepHeader.numWords] = words.length;
  return Int32Array.from(words);
}

/** Submits steps one at a time and waits for their results. */
export class StepDriver {
  #resolve: ((words: Int32Array) => void) | null = null;
  #reject: ((error: Error) => void) | null = null;
  #nextId = 1;

  constructor(readonly runner: NativeRunner) {
    runner.start((words, error) => {
      if (words !== null) this.#resolve?.(words);
      else this.#reject?.(error ?? new Error('no result and no error'));
    });
  }

  run(parts: StepParts): Promise<Int32Array> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.runner.submit(step(this.#nextId++, parts));
    });
  }
}
