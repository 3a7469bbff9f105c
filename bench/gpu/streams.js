// A host with one stream per sequence: the milliseconds between what each stream brings and what it
// brought before, as the host sees them. Prints them as JSON. Arguments: { model, devices,
// sequences, input, output }.

import { Engine } from '../../dist/index.js';

const { model, devices, sequences, input, output } = JSON.parse(process.argv[2]);
const VOCABULARY = 500;

let random = 1;
function token() {
  random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
  return Math.floor((random / 0x80000000) * VOCABULARY);
}

function percentile(sorted, share) {
  return sorted[Math.floor(share * (sorted.length - 1))];
}

/** When each chunk of one stream came. */
async function chunkTimes(engine, seed) {
  const prompt = Array.from({ length: input }, token);
  const times = [];
  for await (const { tokenIds } of engine.stream(prompt, {
    maxTokens: output,
    ignoreEos: true,
    seed,
  })) {
    if (tokenIds.length > 0) times.push(performance.now());
  }
  return times;
}

async function runStreams(engine) {
  const all = await Promise.all(
    Array.from({ length: sequences }, (_, at) => chunkTimes(engine, at)),
  );
  // From when all of them decode until the first one ends.
  const from = Math.max(...all.map((times) => times[0]));
  const until = Math.min(...all.map((times) => times.at(-1)));
  const gaps = all.flatMap((times) =>
    times.flatMap((at, index) => {
      const before = times[index - 1];
      return before !== undefined && before >= from && at <= until ? [at - before] : [];
    }),
  );
  return gaps.sort((a, b) => a - b);
}

const engine = await Engine.start({ model, devices });
try {
  await runStreams(engine);
  const gaps = await runStreams(engine);
  process.stdout.write(
    JSON.stringify({
      gaps: gaps.length,
      p50Ms: percentile(gaps, 0.5),
      p99Ms: percentile(gaps, 0.99),
      maxMs: gaps.at(-1),
    }),
  );
} finally {
  await engine.close();
}
