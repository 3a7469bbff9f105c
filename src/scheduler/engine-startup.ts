/** Brings an engine up: devices and text threads side by side, timed as phases. */

import { PermafrostError } from '../protocol/errors.js';
import type {
  DeviceLimits,
  DeviceListing,
  SchedulerMessage,
  WorkerMessage,
} from '../protocol/messages.js';
import type { DeviceChoice, EngineConfig } from '../protocol/options.js';
import { monotonicMs, type PhaseClock } from '../protocol/phase-clock.js';
import type { DeviceReport, StartupReport, WarningEvent } from '../protocol/report.js';
import type { TextReport } from '../protocol/text-jobs.js';
import { isThere, needsListing, resolveDevices } from './device-resolution.js';
import type { DevicePool, DeviceWorker } from './device-worker.js';
import { readGenerationDefaults } from './model-defaults.js';
import { captureSizesWarning, deviceKind, resolveRunnerConfig } from './runner-config.js';
import type { GenerationDefaults } from './sampling-defaults.js';
import type { TextPool } from './text-pool.js';

export interface StartupOptions {
  readonly config: EngineConfig;
  /** Has named the phase that ended when the start began. */
  readonly clock: PhaseClock;
  readonly numCores: number;
  readonly devicePool: DevicePool;
  readonly textPool: TextPool;
  readonly send: (message: SchedulerMessage) => void;
  /** Those sent so far. */
  readonly warnings: readonly WarningEvent[];
  /** Devices that fail are left out, as long as one is left. */
  readonly isRestart: boolean;
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
  /** Starts a new worker on a device whose own is gone. */
  readonly restartDevice: (device: string) => Promise<ReadyDevice>;
}

/** What of the machine matters to the start of one device. */
type Surroundings = Parameters<typeof resolveRunnerConfig>[2];

/**
 * Resolves when every device and the text pool are ready.
 * @throws the first error of a device or of the text pool.
 */
export async function startEngine(options: StartupOptions): Promise<StartedEngine> {
  try {
    return await startBoth(options);
  } catch (error) {
    // Not before: loading the module is nothing that a start which works should wait for.
    const { explainFolder } = await import('../protocol/model-folder.js');
    throw await explainFolder(options.config.model, error);
  }
}

async function startBoth(options: StartupOptions): Promise<StartedEngine> {
  const { config, clock } = options;
  const starting = startDevices(options).then((started) => {
    clock.end('devices');
    return started;
  });
  const [{ devices, surroundings }, text] = await Promise.all([starting, startText(options)]);
  clock.end('text');
  const report: StartupReport = {
    schema: 1,
    model: config.model,
    maxModelLen: Math.min(...devices.map(({ limits }) => limits.maxModelLen)),
    vocabSize: Math.min(...devices.map(({ limits }) => limits.vocabSize)),
    totalMs: clock.totalMs,
    phases: clock.phases,
    devices: devices.map((device) => device.report),
    warnings: [...options.warnings],
  };
  const restartDevice = (device: string): Promise<ReadyDevice> =>
    startInTime(options, device, surroundings);
  return { devices, text, report, restartDevice };
}

async function startDevices(
  options: StartupOptions,
): Promise<{ readonly devices: readonly ReadyDevice[]; readonly surroundings: Surroundings }> {
  const { config, devicePool, numCores, isRestart, send } = options;
  const listing = needsListing(config.devices) ? await devicePool.listDevices() : null;
  const available = isRestart ? remainingDevices(options, listing) : config.devices;
  const { devices, warning } = resolveDevices(available, listing);
  if (warning !== null) send({ kind: 'warning', code: 'PERMAFROST_NO_GPU', message: warning });
  if (!isRestart) {
    // Devices of one kind say the same.
    const notes = new Map(
      devices.map((one) => [deviceKind(one), captureSizesWarning(config, one)]),
    );
    for (const message of notes.values()) {
      if (message !== null) send({ kind: 'warning', message });
    }
  }
  const numCpuDevices = devices.filter((device) => deviceKind(device) === 'cpu').length;
  const surroundings = { numCores, numCpuDevices };
  const start = isRestart ? startInTime : startDevice;
  const starts = devices.map((device) => start(options, device, surroundings));
  return {
    devices: await (isRestart ? anyOf(options, devices, starts) : Promise.all(starts)),
    surroundings,
  };
}

/** Without the devices that have vanished since the first start, unless all have. */
function remainingDevices(
  { config, send }: StartupOptions,
  listing: DeviceListing | null,
): DeviceChoice {
  if (typeof config.devices === 'string') return config.devices;
  const remaining = config.devices.filter((device) => isThere(device, listing));
  if (remaining.length === 0) return config.devices;
  for (const device of config.devices) {
    if (!remaining.includes(device)) leaveOut(send, device, 'the driver lists it no longer');
  }
  return remaining;
}

/**
 * The devices that have become ready, when all starts have ended.
 * @throws the first device's error when there is none.
 */
async function anyOf(
  { send }: StartupOptions,
  devices: readonly string[],
  starts: readonly Promise<ReadyDevice>[],
): Promise<ReadyDevice[]> {
  const results = await Promise.allSettled(starts);
  const ready = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  for (const [index, result] of results.entries()) {
    if (result.status === 'fulfilled') continue;
    if (ready.length === 0) throw result.reason;
    leaveOut(send, devices[index] ?? '', PermafrostError.toRecord(result.reason).message);
  }
  return ready;
}

function leaveOut(send: StartupOptions['send'], device: string, reason: string): void {
  const message = `${device} is left out, it did not start again: ${reason}`;
  send({ kind: 'device', event: { kind: 'left-out', device, message } });
  send({ kind: 'warning', code: 'PERMAFROST_DEVICE_LEFT_OUT', message });
}

/** Like {@link startDevice}, for when others go on meanwhile. @throws ERR_STARTUP_TIMEOUT */
function startInTime(
  options: StartupOptions,
  device: string,
  surroundings: Surroundings,
): Promise<ReadyDevice> {
  const { startupTimeoutMs } = options.config;
  return new Promise((resolve, reject) => {
    let isTooLate = false;
    const timer = setTimeout(() => {
      isTooLate = true;
      const message = `${device} was not ready after ${startupTimeoutMs} ms`;
      reject(new PermafrostError('ERR_STARTUP_TIMEOUT', message));
    }, startupTimeoutMs);
    startDevice(options, device, surroundings, () => !isTooLate)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

/**
 * Resolves with the device when it is ready; passes its progress on.
 * @param isWanted Otherwise a device that becomes ready is closed again.
 */
function startDevice(
  { config, devicePool, send, onWorker }: StartupOptions,
  device: string,
  surroundings: Surroundings,
  isWanted: () => boolean = () => true,
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
          if (!isWanted()) {
            worker.post({ kind: 'close' });
            return;
          }
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
  if (message.kind === 'exited') {
    return new PermafrostError('ERR_DEVICE_LOST', `${device} is lost: ${message.reason}`);
  }
  return new PermafrostError('ERR_PROTOCOL', `${device} sent '${message.kind}' before 'ready'`);
}

async function startText({ config, textPool, send }: StartupOptions): Promise<ReadyText> {
  const report: TextReport = await textPool.describe();
  if (report.kind === 'failed') throw PermafrostError.fromRecord(report.error);
  for (const message of report.warnings) send({ kind: 'warning', message });
  const defaults = await readGenerationDefaults(config.model, report.eosTokenIds);
  return { hasTokenizer: report.hasTokenizer, defaults };
}
