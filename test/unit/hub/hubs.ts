/** What the tests of the hub share: a hub, a cache and a model that is small enough to look into. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { pullWaiting } from '../../../src/hub/pull-model.js';
import type { PullOptions } from '../../../src/protocol/options.js';
import { FakeHub, type ModelFiles } from '../../hub/fake-hub.js';

export const ID = 'some/model';

/** Bytes that differ everywhere, so that a part of them is never another part. */
export function bytesOf(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed + 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export const MODEL: ModelFiles = {
  'README.md': 'not needed',
  'config.json': '{"model_type": "qwen3"}',
  'generation_config.json': '{}',
  'tokenizer.json': bytesOf(1, 5000),
  'tokenizer_config.json': '{"a": 1}',
  'chat_template.jinja': '{{ messages }}',
  'model.safetensors': bytesOf(2, 3_000_000),
  'pytorch_model.bin': bytesOf(3, 2000),
  'model.gguf': bytesOf(4, 2000),
  'original/consolidated.00.pth': bytesOf(5, 2000),
};

const NEEDED = [
  'chat_template.jinja',
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'tokenizer.json',
  'tokenizer_config.json',
];

export const neededFiles = (): string[] => [...NEEDED];

export interface Surroundings {
  readonly hub: FakeHub;
  readonly cacheDir: string;
  readonly env: Record<string, string>;
  /** Milliseconds of each wait, in which no time passes. */
  readonly waits: number[];
  /** pullModel with all this. */
  readonly pull: (name: string, options?: PullOptions) => Promise<string>;
}

export async function surroundings(): Promise<Surroundings> {
  const home = await mkdtemp(join(tmpdir(), 'permafrost-hub-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const hub = await FakeHub.start();
  const env: Record<string, string> = { HOME: home, HF_ENDPOINT: hub.url };
  const waits: number[] = [];
  const wait = async (ms: number): Promise<void> => {
    waits.push(ms);
  };
  const pull = (name: string, options: PullOptions = {}) =>
    pullWaiting(name, { env, ...options }, wait);
  return { hub, cacheDir: join(home, '.cache/huggingface/hub'), env, waits, pull };
}
