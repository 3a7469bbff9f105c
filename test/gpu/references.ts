/** The golden models' references: test/fixtures/golden/README.md. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { golden } from '../native/addon.js';
import { readTensors } from '../safetensors.js';

export interface Case {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  readonly margin: readonly number[];
  /** Of every prompt token, [prompt, vocab]. */
  readonly logits: Float32Array;
}

export function readCases(model: string): readonly Case[] {
  const tensors = readTensors(join(golden(model), 'reference.safetensors'));
  const { cases } = JSON.parse(readFileSync(join(golden(model), 'reference.json'), 'utf8')) as {
    cases: readonly Omit<Case, 'logits'>[];
  };
  return cases.map((entry, index) => {
    const logits = tensors.get(`logits.${index}`);
    if (logits === undefined) throw new Error(`${model} has no logits of case ${index}`);
    return { ...entry, logits };
  });
}

export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i += 1) {
    if ((logits[i] ?? Number.NaN) > (logits[best] ?? Number.NaN)) best = i;
  }
  return best;
}

export function squaredError(values: Float32Array, reference: Float32Array): number {
  if (values.length !== reference.length) throw new Error('the logits differ in number');
  return values.reduce((sum, value, i) => sum + (value - (reference[i] ?? Number.NaN)) ** 2, 0);
}
