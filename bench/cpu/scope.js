// How near the CPU backend comes to what the machine gives. Every round asks the probe and decodes
// at every batch size, because memory bandwidth on a shared machine moves within minutes; ratios
// are taken within a round and their median counts.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { makeRandomModel } from '../../tools/random-model/make.js';
import { count } from '../options.js';
import { median } from '../statistics.js';
import { Decoder } from './decoder.js';
import { Probe } from './probe.js';

export const options = {
  layers: {
    type: 'string',
    default: '28',
    help: 'layers of the model; fewer for a quick look (28)',
  },
  rounds: {
    type: 'string',
    default: '5',
    help: 'interleaved rounds, of which the median counts (5)',
  },
  threads: {
    type: 'string',
    default: String(availableParallelism()),
    help: 'threads of the engine and of the probe (all)',
  },
};

// Decode steps per round: about as long for each batch size.
const STEPS = new Map([
  [1, 12],
  [4, 8],
  [16, 5],
]);
// The middle of every sequence's life in this bench.
const CONTEXT = 64;
const BANDWIDTH_AIM = 0.6;
const SPEEDUP_AIM = 5;
const FMA_AIM = 0.6;

function firstSlots() {
  let next = 0;
  return [...STEPS].map(([batch, steps]) => {
    const slots = Array.from({ length: batch }, (_, i) => next + i);
    next += batch;
    return { batch, steps, slots };
  });
}

/** Multiply-adds of one token's GEMMs, as FLOP: two per weight; tied embeddings are the last GEMM. */
const flopPerToken = (weightsBytes) => 2 * (weightsBytes / 2);

async function prefillAll(decoder, sets, rounds) {
  for (const { steps, slots } of sets) {
    const length = CONTEXT - Math.floor((steps * rounds) / 2);
    for (const slot of slots) {
      const prompt = Array.from({ length }, (_, i) => 1000 + 97 * slot + i);
      await decoder.prefill(slot, prompt);
    }
  }
}

/** Wall time gives tokens per second; CPU time tells how much of a slow round was competition. */
async function measureSteps(decoder, { batch, steps, slots }) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let i = 0; i < steps; i += 1) await decoder.decode(slots);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  return { tokensPerS: (batch * steps) / seconds, cpuMsPerStep: (user + system) / 1000 / steps };
}

async function measureRounds(decoder, probe, sets, rounds, log) {
  const measured = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = await probe.bandwidth();
    const speeds = new Map();
    for (const set of sets) speeds.set(set.batch, await measureSteps(decoder, set));
    const fmaPeak = await probe.fmaPeak();
    // The engine ran between two probes; what it could have had is at least their mean.
    const bandwidth = (before + (await probe.bandwidth())) / 2;
    measured.push({ bandwidth, fmaPeak, speeds });
    const shown = [...speeds].map(
      ([batch, speed]) => `batch ${batch}: ${speed.tokensPerS.toFixed(1)} tok/s`,
    );
    log(
      `round ${round + 1} of ${rounds}: ${(bandwidth / 1e9).toFixed(1)} GB/s, ` +
        `${(fmaPeak / 1e9).toFixed(0)} GFLOP/s, ${shown.join(', ')}`,
    );
  }
  return measured;
}

function summarize(measured, weightsBytes) {
  const rows = [...STEPS.keys()].map((batch) => {
    const over = (value) =>
      median(measured.map((round) => value(round, round.speeds.get(batch).tokensPerS)));
    const cpuMs = measured.map(({ speeds }) => speeds.get(batch).cpuMsPerStep);
    return {
      batch,
      tokensPerS: over((_, speed) => speed),
      cpuMsPerStep: median(cpuMs),
      weightsGbPerS: over((_, speed) => ((speed / batch) * weightsBytes) / 1e9),
      probeGbPerS: over((round) => round.bandwidth / 1e9),
      bandwidthShare: over((round, speed) => ((speed / batch) * weightsBytes) / round.bandwidth),
      gflopPerS: over((_, speed) => (speed * flopPerToken(weightsBytes)) / 1e9),
      fmaPeakGflopPerS: over((round) => round.fmaPeak / 1e9),
      fmaShare: over((round, speed) => (speed * flopPerToken(weightsBytes)) / round.fmaPeak),
    };
  });
  const row = (batch) => rows.find((candidate) => candidate.batch === batch);
  const ratios = {
    batch1BandwidthShare: row(1).bandwidthShare,
    batch16OverBatch1: median(
      measured.map(({ speeds }) => speeds.get(16).tokensPerS / speeds.get(1).tokensPerS),
    ),
    batch16FmaShare: row(16).fmaShare,
  };
  const aims = [
    {
      text:
        `batch 1 reads its weights at ${percent(ratios.batch1BandwidthShare)} of the probe's ` +
        `bandwidth; aim ${percent(BANDWIDTH_AIM)}`,
      met: ratios.batch1BandwidthShare >= BANDWIDTH_AIM,
    },
    {
      text:
        `batch 16 gives ${ratios.batch16OverBatch1.toFixed(2)} × batch 1's tokens, at ` +
        `${percent(ratios.batch16FmaShare)} of the FMA peak; aim ${SPEEDUP_AIM} × or ` +
        `${percent(FMA_AIM)}, whichever is lower`,
      met: ratios.batch16OverBatch1 >= SPEEDUP_AIM || ratios.batch16FmaShare >= FMA_AIM,
    },
  ];
  return { rows, ratios, aims };
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;

export async function run(values, log) {
  const layers = count('layers', values.layers);
  const rounds = count('rounds', values.rounds);
  const threads = count('threads', values.threads);
  const sets = firstSlots();
  log('making the model, or finding it made');
  const model = makeRandomModel({ layers });
  const config = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
  const probe = new Probe(threads);
  try {
    const mostSteps = Math.max(...STEPS.values()) * rounds;
    const maxContext = CONTEXT + Math.ceil(mostSteps / 2) + 1;
    const decoder = new Decoder({
      model,
      config,
      threads,
      sets: sets.map(({ batch }) => batch),
      maxContext,
    });
    try {
      log('prefilling');
      await prefillAll(decoder, sets, rounds);
      for (const set of sets) await decoder.decode(set.slots); // once untimed
      const measured = await measureRounds(decoder, probe, sets, rounds, log);
      return summarize(measured, decoder.weightsBytes);
    } finally {
      decoder.close();
    }
  } finally {
    probe.close();
  }
}
