/** The start of one device: load → warm → collect → freeze → capture → thaw, timed as phases. */

import type { DeviceLimits } from '../protocol/messages.js';
import type { RunnerConfig } from '../protocol/options.js';
import type { PhaseClock } from '../protocol/phase-clock.js';
import type { CaptureEvent, DeviceEvent, DeviceReport, GraphReport } from '../protocol/report.js';
import { runFrozenRegion } from './frozen-region.js';
import type { NativeAddon, NativeGraph, NativeRunner } from './native.js';
import { NATIVE_ADDON_PATH } from './native-addon.js';
import { planProducts } from './product-plan.js';

/** CPU devices run below the host's priority, so that its event loop stays responsive. */
const CPU_NICE = 5;

export interface StartedDevice {
  readonly runner: NativeRunner;
  readonly report: DeviceReport;
  readonly limits: DeviceLimits;
}

export interface StartupEvents {
  readonly onPhase: (event: DeviceEvent) => void;
  readonly onCapture: (event: CaptureEvent) => void;
}

/**
 * Brings a device up. Closes the runner again when a step of the start throws.
 * @param clock began when the worker was asked for; has named the phase that ends here.
 */
export async function startDevice(
  addon: NativeAddon,
  config: RunnerConfig,
  clock: PhaseClock,
  events: StartupEvents,
): Promise<StartedDevice> {
  const { device } = config;
  const begin = (phase: string): void => events.onPhase({ kind: 'phase', device, phase });

  begin('device');
  const runner = new addon.Runner({
    model: config.model,
    device,
    maxNumSeqs: config.maxNumSeqs,
    maxModelLen: config.maxModelLen,
    blockSize: config.blockSize,
    kvCacheBytes: config.kvCacheBytes,
    gpuMemoryUtilization: config.gpuMemoryUtilization,
    maxBatchedTokens: config.maxBatchedTokens,
    numGraphs: config.captureSizes.length,
    cpuThreads: config.cpuThreads,
    nice: CPU_NICE,
  });
  try {
    clock.end('device');
    begin('weights');
    const model = runner.loadWeights();
    clock.end('weights');
    begin('kv-cache');
    const reserved = runner.reserve();
    clock.end('kv-cache');
    begin('plan');
    const products = planProducts(runner, config.productPlan, {
      addonPath: NATIVE_ADDON_PATH,
      env: process.env,
    });
    clock.end('plan');
    begin('warmup');
    const warmups = warmUp(runner, config);
    clock.end('warmup');

    begin('capture');
    const toReport = (graph: NativeGraph): GraphReport => ({
      ...graph,
      warmupMs: warmups.get(graph.batchSize) ?? 0,
    });
    const total = config.captureSizes.length;
    const capture = await runFrozenRegion({
      policy: config.gcPolicy,
      sizes: config.captureSizes,
      guard: runner,
      capture: (batchSize) => runner.capture(batchSize).map(toReport),
      finish: () => runner.finishCaptures().map(toReport),
      onGraph: (graph, done) => events.onCapture({ device, graph, done, total }),
    });
    clock.add('collect', capture.collectMs);
    clock.add('capture', capture.regionMs);
    clock.end('thaw');

    return {
      runner,
      report: {
        device,
        kind: runner.kind,
        name: runner.deviceName,
        phases: clock.phases,
        memory: {
          weightsBytes: model.weightsBytes,
          kvCacheBytes: reserved.kvCacheBytes,
          graphsReservedBytes: reserved.graphBytes,
          graphsBytes: capture.graphs.reduce((sum, graph: GraphReport) => sum + graph.bytes, 0),
          freeBytes: reserved.freeBytes,
        },
        products,
        capture,
      },
      limits: {
        numSlots: config.maxNumSeqs,
        numBlocks: reserved.numBlocks,
        blockSize: config.blockSize,
        maxBatchedTokens: config.maxBatchedTokens,
        maxModelLen: reserved.maxModelLen,
        vocabSize: model.vocabSize,
      },
    };
  } catch (error) {
    runner.close();
    throw error;
  }
}

/** Runs every size once, so that nothing is loaded or allocated lazily during capture. */
function warmUp(runner: NativeRunner, config: RunnerConfig): Map<number, number> {
  const sizes = config.captureSizes.length > 0 ? config.captureSizes : [config.maxNumSeqs];
  return new Map(sizes.map((batchSize) => [batchSize, runner.warmup(batchSize)]));
}
