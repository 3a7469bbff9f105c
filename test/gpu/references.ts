/** The golden models' references: test/fixtures/golden/README.md. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { golden } from '../native/addon.js';

export interface Case {
  readonly prompt: readonly number[];
  readonly greedy: readonly number[];
  readonly margin: readonly number[];
  /** Of every prompt token, [prompt, vocab]. */
  readonly logits: Float32Array;
}

/** The float32 tensors of a safetensors file, by name. */
function readTensors(path: string): Map<string, Float32Array> {
  const data = readFileSync(path);
  const body = 8 + Number(data.readBigUInt64LE(0));
  const header = JSON.parse(data.toString('utf8', 8, body)) as Record<
    string,
    { data_offsets?: readonly [number, number] }
  >;
  const tensors = new Map<string, Float32Array>();
  for (const [name, { data_offsets: range }] of Object.entries(header)) {
    if (range === undefined) continue;
    const bytes = Uint8Array.from(data.subarray(body + range[0], body + range[1]));
    tensors.set(name, new Float32Array(bytes.buffer));
  }
  return tensors;
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
