// What sequences that decode feel of a long prompt beside them: the time between two tokens of each
// stream, as the host sees it, alone, while the prompt is computed, and alone again. The model is
// models/tiny told that its context is longer; what it says there means nothing.

import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { count } from '../options.js';
import { median } from '../statistics.js';

export const options = {
  prompt: { type: 'string', default: '8192', help: 'tokens of the long prompt (8192)' },
  streams: { type: 'string', default: '15', help: 'sequences that decode beside it (15)' },
  seconds: { type: 'string', default: '5', help: 'length of each measurement alone (5)' },
  rounds: { type: 'string', default: '3', help: 'long prompts, one after the other (3)' },
};

const ENGINE = new URL('../../dist/index.js', import.meta.url);
const TINY = fileURLToPath(new URL('../../models/tiny', import.meta.url));
const CONTEXT = 65_536;
/** Streams go on and on: with too little of it they would send the prompt back again and again. */
const KV_CACHE_BYTES = 2 ** 33;
const AIM = 2;

/** A folder with models/tiny's files and a longer context. */
function makeModel() {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-long-prompt-'));
  const config = JSON.parse(readFileSync(join(TINY, 'config.json'), 'utf8'));
  const longer = { ...config, max_position_embeddings: CONTEXT };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(longer));
  for (const name of ['model.safetensors', 'tokenizer.json']) {
    symlinkSync(join(TINY, name), join(folder, name));
  }
  return folder;
}

function percentile(sorted, share) {
  return sorted[Math.floor(share * (sorted.length - 1))];
}

/** Streams that go on until they are stopped, and the milliseconds between their tokens. */
class Streams {
  #stop = new AbortController();
  #gaps = [];
  #ended;

  constructor(engine, numStreams) {
    const streams = Array.from({ length: numStreams }, (_, index) => this.#run(engine, index));
    this.#ended = Promise.all(streams);
  }

  /** The gaps since the last call, sorted. */
  take() {
    const gaps = this.#gaps;
    this.#gaps = [];
    return gaps.sort((a, b) => a - b);
  }

  /** Fails with what a stream failed with. */
  stop() {
    this.#stop.abort();
    return this.#ended;
  }

  async #run(engine, index) {
    const params = { maxTokens: CONTEXT, ignoreEos: true, seed: index, signal: this.#stop.signal };
    let lastMs = null;
    for await (const { tokenIds } of engine.stream(`${index}+1=`, params)) {
      if (tokenIds.length === 0) continue;
      const nowMs = performance.now();
      if (lastMs !== null) this.#gaps.push(nowMs - lastMs);
      lastMs = nowMs;
    }
  }
}

function rowOf(phase, gaps, milliseconds) {
  return {
    phase,
    p50Ms: percentile(gaps, 0.5),
    p99Ms: percentile(gaps, 0.99),
    maxMs: gaps.at(-1),
    tokens: gaps.length,
    seconds: milliseconds / 1000,
  };
}

async function measure(streams, phase, work) {
  streams.take();
  const startMs = performance.now();
  await work();
  return rowOf(phase, streams.take(), performance.now() - startMs);
}

/** Token ids that no earlier round had, so that none is found in the prefix cache. */
function longPrompt(length, round) {
  return Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * round) % 256));
}

async function measureRounds(engine, streams, { promptLength, seconds, rounds }, log) {
  const rows = [];
  const alone = () => measure(streams, 'alone', () => sleep(seconds * 1000));
  await alone();
  rows.push(await alone());
  for (let round = 1; round <= rounds; round += 1) {
    const prompt = longPrompt(promptLength, round);
    const beside = () => engine.generate(prompt, { maxTokens: 1, ignoreEos: true });
    rows.push(await measure(streams, `beside ${promptLength.toLocaleString('en-US')}`, beside));
    rows.push(await alone());
    log(`round ${round} of ${rounds}: p99 ${rows.at(-2).p99Ms.toFixed(1)} ms beside the prompt`);
  }
  return rows;
}

/** Each prompt against the measurements before and after it: streams get slower as they grow. */
function ratiosOf(rows) {
  const against = (key) => {
    const ratios = [];
    for (let at = 1; at < rows.length; at += 2) {
      ratios.push((2 * rows[at][key]) / (rows[at - 1][key] + rows[at + 1][key]));
    }
    return median(ratios);
  };
  return { p50BesideOverAlone: against('p50Ms'), p99BesideOverAlone: against('p99Ms') };
}

export async function run(values, log) {
  const numStreams = count('streams', values.streams);
  const load = {
    promptLength: count('prompt', values.prompt),
    seconds: count('seconds', values.seconds),
    rounds: count('rounds', values.rounds),
  };
  if (!existsSync(ENGINE)) throw new Error('dist/index.js is missing: npm run build:ts');
  const { Engine } = await import(ENGINE.href);
  const model = makeModel();
  try {
    log('starting the engine');
    const engine = await Engine.start({
      model,
      devices: ['cpu'],
      maxNumSeqs: numStreams + 1,
      kvCacheBytes: KV_CACHE_BYTES,
    });
    try {
      const streams = new Streams(engine, numStreams);
      const rows = await measureRounds(engine, streams, load, log);
      await streams.stop();
      const ratios = ratiosOf(rows);
      const p99 = ratios.p99BesideOverAlone;
      const text = `beside a long prompt the p99 between two tokens is ${p99.toFixed(2)} × that alone; aim ${AIM} ×`;
      return { rows, ratios, aims: [{ text, met: p99 <= AIM }] };
    } finally {
      await engine.close();
    }
  } finally {
    rmSync(model, { recursive: true });
  }
}
