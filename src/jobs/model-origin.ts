/** Digests of what an engine makes rows with: told from its checkpoint's files, wherever they lie. */

import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VERSION } from '../protocol/version.js';
import type { BatchEngine } from './batch-file-options.js';
import { type Digest, digestOf, type JobOrigin } from './row-origin.js';

/** What decides about tokens and text. Not a README, nor weights in a form that is not read. */
const MODEL_FILE = /\.(json|jinja|txt|model|safetensors)$/;
const DEFAULTS_FILE = 'generation_config.json';

/** Files up to this size are read as a whole; of larger ones samples. */
const MAX_WHOLE_BYTES = 1 << 26;
/** So many and so large that hardly a tensor is missed. */
const NUM_SAMPLES = 256;
const SAMPLE_BYTES = 4096;

/** Unknown is what can't be read: an engine in tests, a folder that is gone by now. */
export async function findJobOrigin({ startup }: BatchEngine): Promise<JobOrigin> {
  const version = digestOf(VERSION);
  const folder = startup?.model;
  if (folder === undefined) return { model: 0, defaults: 0, version };
  try {
    const names = (await readdir(folder)).filter((name) => MODEL_FILE.test(name)).sort();
    const others = names.filter((name) => name !== DEFAULTS_FILE);
    const defaults = names.filter((name) => name === DEFAULTS_FILE);
    return {
      model: await digestOfFiles(folder, others),
      defaults: await digestOfFiles(folder, defaults),
      version,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return { model: 0, defaults: 0, version };
  }
}

async function digestOfFiles(folder: string, names: readonly string[]): Promise<Digest> {
  const hash = createHash('sha256');
  for (const name of names) {
    const path = join(folder, name);
    const found = await stat(path);
    if (!found.isFile()) continue;
    hash.update(`${name}\0${found.size}\0`);
    if (found.size <= MAX_WHOLE_BYTES) await addWhole(hash, path);
    else await addSamples(hash, path, found.size);
  }
  return digestOf(hash.digest('hex'));
}

async function addWhole(hash: Hash, path: string): Promise<void> {
  for await (const bytes of createReadStream(path)) hash.update(bytes as Uint8Array);
}

async function addSamples(hash: Hash, path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'r');
  try {
    const step = (sizeBytes - SAMPLE_BYTES) / (NUM_SAMPLES - 1);
    for (let sample = 0; sample < NUM_SAMPLES; sample++) {
      hash.update(await readSample(file, Math.floor(sample * step)));
    }
  } finally {
    await file.close();
  }
}

async function readSample(file: FileHandle, position: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(SAMPLE_BYTES),
    0,
    SAMPLE_BYTES,
    position,
  );
  return buffer.subarray(0, bytesRead);
}
