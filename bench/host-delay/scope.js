// What the host's event loop feels of an engine beside it: its delay while nothing runs, and while
// 1,000 requests are running or waiting their turn in the scheduler process.

import { existsSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { count } from '../options.js';

export const options = {
  requests: { type: 'string', default: '1000', help: 'requests in flight at any time (1000)' },
  seconds: { type: 'string', default: '10', help: 'length of each of the two measurements (10)' },
};

const ENGINE = new URL('../../dist/index.js', import.meta.url);
const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));
const AIM_MS = 20;
const RESOLUTION_MS = 10;
const MAX_TOKENS = 64;

/** A histogram's row, in milliseconds; the timer's resolution is part of each number. */
function delayRow(state, histogram, completions) {
  return {
    host: state,
    p50Ms: histogram.percentile(50) / 1e6,
    p99Ms: histogram.percentile(99) / 1e6,
    maxMs: histogram.max / 1e6,
    completions,
  };
}

async function idleRow(seconds) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  await sleep(seconds * 1000);
  histogram.disable();
  return delayRow('idle', histogram, 0);
}

async function busyRow(engine, inflight, seconds) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const stop = new AbortController();
  // Endless: a finished request is followed by another, so that `inflight` stay under way.
  function* requests() {
    for (let i = 0; !stop.signal.aborted; i += 1) {
      const prompt = `${i % 1000}+${(7 * i) % 1000}=`;
      yield { prompt, params: { maxTokens: MAX_TOKENS, ignoreEos: true }, signal: stop.signal };
    }
  }
  let completions = 0;
  histogram.enable();
  const timer = setTimeout(() => {
    histogram.disable();
    stop.abort();
  }, seconds * 1000);
  try {
    for await (const row of engine.batch(requests(), { maxInflight: inflight })) {
      if (stop.signal.aborted) break;
      if (row.error) throw row.error;
      completions += 1;
    }
  } finally {
    clearTimeout(timer);
    histogram.disable();
    stop.abort();
  }
  return delayRow(`${inflight.toLocaleString('en-US')} requests`, histogram, completions);
}

export async function run(values, log) {
  const inflight = count('requests', values.requests);
  const seconds = count('seconds', values.seconds);
  if (!existsSync(ENGINE)) throw new Error('dist/index.js is missing: npm run build:ts');
  const { Engine } = await import(ENGINE.href);
  log('starting the engine');
  const engine = await Engine.start({ model: MODEL, devices: ['cpu'] });
  try {
    log(`idle, ${seconds} s`);
    const idle = await idleRow(seconds);
    log(`${inflight} requests, ${seconds} s`);
    const busy = await busyRow(engine, inflight, seconds);
    return {
      rows: [idle, busy],
      ratios: { p99BusyOverIdle: busy.p99Ms / idle.p99Ms },
      aims: [
        {
          text:
            `the host's p99 event-loop delay is ${busy.p99Ms.toFixed(1)} ms with ` +
            `${inflight} requests running; aim under ${AIM_MS} ms`,
          met: busy.p99Ms < AIM_MS,
        },
      ],
    };
  } finally {
    await engine.close();
  }
}
