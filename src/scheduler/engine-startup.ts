/** Brings an engine up: devices and text threads side by side, timed as phases. */

import { PermafrostError } from '../protocol/errors.js';
import type { DeviceLimits, SchedulerMessage, WorkerMessage } from '../protocol/messages.js';
import type { EngineConfig } from '../protocol/options.js';
import { monotonicMs, type PhaseClock } from '../protocol/phase-clock.js';
import type { DeviceReport, StartupReport } from '../protocol/report.js';
import type { TextReport } from '../protocol/text-jobs.js';
import { needsListing, resolveDevices } from './device-resolution.js';
import type { DevicePool, DeviceWorker } from './device-worker.js';
import type { GenerationDefaults } from './generation-config.js';
import { readGenerationDefaults } from './model-defaults.js';
import { deviceKind, resolveRunnerConfig } from './runner-config.js';
import type { TextPool } from './text-pool.js';

export interface StartupOptions {
  readonly config: EngineConfig;
  /** Has named the phase that ended when the start began. */
  readonly clock: PhaseClock;
  readonly numCores: number;
  readonly devicePool: DevicePool;
  readonly textPool: TextPool;
  readonly send: (message: SchedulerMessage) => void;
  /** Hears what a worker says after it has become ready. */
  readonly onWorker: (worker: DeviceWorker, message: WorkerMessage) => void;
}

/** One device that is ready for steps. */
export interface ReadyDevice {
  readonly worker: DeviceWorker;
  readonly report: DeviceReport;
  readonly limits: DeviceLimits;
}

export interface ReadyText {
  readonly hasTokenizer: boolean;
  readonly defaults: GenerationDefaults;
}

export interface StartedEngine {
  readonly devices: readonly ReadyDevice[];
  readonly text: ReadyText;
  readonly report: StartupReport;
}

/**
 * Resolves when every device and the text pool are ready.
 * @throws the first error of a device or of the text pool.
 */
export async function startEngine(options: StartupOptions): Promise<StartedEngine> {
  const { config, clock } = options;
  const starting = startDevices(options).then((devices) => {
    clock.end('devices');
    return devices;
  });
  const [devices, text] = await Promise.all([starting, startText(options)]);
  clock.end('text');
  const report: StartupReport = {
    schema: 1,
    model: config.model,
    totalMs: clock.totalMs,
    phases: clock.phases,
    devices: devices.map((device) => device.report),
  };
  return { devices, text, report };
}

async function startDevices(options: StartupOptions): Promise<ReadyDevice[]> {
  const { config, devicePool, numCores, send } = options;
  const listing = needsListing(config.devices) ? await devicePool.listDevices() : null;
  const { devices, warning } = resolveDevices(config.devices, listing);
  if (warning !== null) send({ kind: 'warning', message: warning });
  const numCpuDevices = devices.filter((device) => deviceKind(device) === 'cpu').length;
  const surroundings = { numCores, numCpuDevices };
  return Promise.all(devices.map((device) => startDevice(options, device, surroundings)));
}

/** Resolves with the device when it is ready; passes its progress on. */
function startDevice(
  { config, devicePool, send, onWorker }: StartupOptions,
  device: string,
  surroundings: { readonly numCores: number; readonly numCpuDevices: number },
): Promise<ReadyDevice> {
  const runnerConfig = resolveRunnerConfig(config, device, surroundings);
  const requestedAtMs = monotonicMs();
  return new Promise((resolve, reject) => {
    let isReady = false;
    const worker = devicePool.startWorker(runnerConfig, requestedAtMs, (message) => {
      switch (message.kind) {
        case 'phase':
          send({ kind: 'device', event: message.event });
          return;
        case 'capture':
          send({ kind: 'capture', event: message.event });
          return;
        case 'ready':
          isReady = true;
          send({ kind: 'device', event: { kind: 'ready', device } });
          resolve({ worker, report: message.report, limits: message.limits });
          return;
        default:
          if (isReady) onWorker(worker, message);
          else reject(startError(device, message));
      }
    });
  });
}

function startError(device: string, message: WorkerMessage): PermafrostError {
  if (message.kind === 'failed') return PermafrostError.fromRecord(message.error);
  return new PermafrostError('ERR_PROTOCOL', `${device} sent '${message.kind}' before 'ready'`);
}

async function startText({ config, textPool, send }: StartupOptions): Promise<ReadyText> {
  const report: TextReport = await textPool.describe();
  if (report.kind === 'failed') throw PermafrostError.fromRecord(report.error);
  for (const message of report.warnings) send({ kind: 'warning', message });
  const defaults = await readGenerationDefaults(config.model, report.eosTokenIds);
  return { hasTokenizer: report.hasTokenizer, defaults };
}
