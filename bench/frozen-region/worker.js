// One cell: a heap of live objects, a model, and the real frozen region over 67 sizes.

import { fileURLToPath } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { encodeMessage } from '../../dist/protocol/codec.js';
import { runFrozenRegion } from '../../dist/workers/frozen-region.js';
import { loadNativeAddon } from '../../dist/workers/native-addon.js';

// vllm67, largest first: 512, 504, … 16, 8, 4, 2, 1.
const SIZES = [...Array.from({ length: 64 }, (_, i) => 512 - 8 * i), 4, 2, 1];

const TINY = fileURLToPath(new URL('../../models/tiny', import.meta.url));

const { policy, liveObjects, device, model = TINY } = workerData;
// Small linked objects, as an application's heap is made of.
const live = [];
for (let id = 0; id < liveObjects; id += 1) live.push({ id, previous: live[id - 1] ?? null });

const addon = loadNativeAddon();
const runner = new addon.Runner({
  model,
  device,
  maxNumSeqs: 512,
  maxModelLen: 0,
  blockSize: 16,
  kvCacheBytes: 1 << 26,
  gpuMemoryUtilization: 0.9,
  maxBatchedTokens: 256,
  numGraphs: SIZES.length,
  cpuThreads: 0,
  nice: 0,
});
runner.loadWeights();
runner.reserve();
for (const size of SIZES) runner.warmup(size);
// Another thread of the process gives these back while graphs are captured.
const releasedElsewhere = SIZES.map(() => new addon.DeviceBuffer(device, 4096));

const toReport = (graph) => ({ ...graph, warmupMs: 0 });
const report = await runFrozenRegion({
  policy,
  sizes: SIZES,
  guard: runner,
  capture: (batchSize) => {
    releasedElsewhere.pop().releaseFromThread();
    return runner.capture(batchSize).map(toReport);
  },
  finish: () => runner.finishCaptures().map(toReport),
  // Progress as the real worker posts it: what its region allocates, ours does too.
  onGraph: (graph, done) => {
    const event = { device, graph, done, total: SIZES.length };
    parentPort.postMessage(encodeMessage({ kind: 'capture', event }));
  },
});
runner.close();

if (live.length !== liveObjects) throw new Error('the live objects must outlive the region');
parentPort.postMessage({
  row: {
    collectMs: report.collectMs,
    regionMs: report.regionMs,
    gcEvents: report.gcEvents.length,
    gcMsInside: report.gcEvents.reduce((sum, event) => sum + event.durationMs, 0),
    deferredFrees: report.deferredFrees,
  },
});
