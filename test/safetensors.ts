/** The float32 tensors of a safetensors file, by name. */

import { readFileSync } from 'node:fs';

export function readTensors(path: string): Map<string, Float32Array> {
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
