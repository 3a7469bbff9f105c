import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { HostMessage, SchedulerMessage } from '../../../src/protocol/messages.js';
import type { EngineConfig } from '../../../src/protocol/options.js';
import type { DevicePool, WorkerListener } from '../../../src/scheduler/device-worker.js';
import { EngineProcess } from '../../../src/scheduler/engine-process.js';
import { limitsOf } from '../scheduler/fake-device.js';
import { configOf } from './engine-config.js';
import { GatedText } from './gated-text.js';
import { reportOf } from './harness.js';

class Process {
  readonly sent: SchedulerMessage[] = [];
  readonly listeners = new Map<string, WorkerListener>();
  numExits = 0;
  nowMs = 100;
  readonly #process: EngineProcess;
  readonly #devicePool: DevicePool = {
    listDevices: async () => ({ devices: [], cudaBuilt: false, cudaProblem: 'none here' }),
    startWorker: ({ device }, _requestedAtMs, listener) => {
      this.listeners.set(device, listener);
      return {
        device,
        post: ({ kind }) => {
          if (kind === 'close') listener({ kind: 'closed' });
        },
      };
    },
    destroy: async () => {},
  };

  constructor() {
    this.#process = new EngineProcess({
      send: (message) => this.sent.push(message),
      exit: () => {
        this.numExits++;
      },
      createDevicePool: () => this.#devicePool,
      createTextPool: (model) => Object.assign(new GatedText(model), { destroy: async () => {} }),
      numCores: 4,
      totalMemoryBytes: 2 ** 32,
      now: () => this.nowMs,
    });
  }

  tell(message: HostMessage): void {
    this.#process.takeHostMessage(message);
  }

  async start(config: Partial<EngineConfig>, isRestart = false): Promise<void> {
    this.tell({ kind: 'start', config: configOf(config), requestedAtMs: 40, isRestart });
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  }

  listener(device: string): WorkerListener {
    const listener = this.listeners.get(device);
    if (listener === undefined) throw new Error(`${device} was not started`);
    return listener;
  }

  /** Devices that the process said it goes on without. */
  leftOut(): string[] {
    return this.sent.flatMap((message) =>
      message.kind === 'device' && message.event.kind === 'left-out' ? [message.event.device] : [],
    );
  }

  ready(device: string): void {
    this.listener(device)({ kind: 'ready', report: reportOf(device), limits: limitsOf() });
  }

  /** Waits for a message of this kind. */
  async heard<Kind extends SchedulerMessage['kind']>(
    kind: Kind,
  ): Promise<Extract<SchedulerMessage, { readonly kind: Kind }>> {
    for (let turn = 0; turn < 100_000; turn++) {
      const found = this.sent.find((message) => message.kind === kind);
      if (found !== undefined) return found as Extract<SchedulerMessage, { readonly kind: Kind }>;
      await nextTurn();
    }
    throw new Error(`no '${kind}' among ${JSON.stringify(this.sent)}`);
  }
}

describe('a start', () => {
  it('reports disjoint phases that sum up to its duration', async () => {
    const process = new Process();
    await process.start({ devices: ['cpu:0', 'cpu:1'] });
    process.nowMs = 150;
    process.ready('cpu:1');
    process.nowMs = 250;
    process.ready('cpu:0');
    const { report } = await process.heard('ready');
    expect(report).toMatchObject({ schema: 1, model: 'models/tiny', totalMs: 210 });
    expect(report.devices.map(({ device }) => device)).toEqual(['cpu:0', 'cpu:1']);
    expect(report.phases).toEqual([
      { name: 'process', startMs: 0, durationMs: 60 },
      { name: 'devices', startMs: 60, durationMs: 150 },
      { name: 'text', startMs: 210, durationMs: 0 },
    ]);
  });

  it('passes the progress of every device on, before it is ready', async () => {
    const process = new Process();
    await process.start({});
    const event = { kind: 'phase', device: 'cpu:0', phase: 'weights' } as const;
    process.listener('cpu:0')({ kind: 'phase', event });
    expect(process.sent).toContainEqual({ kind: 'device', event });
    process.ready('cpu:0');
    expect(process.sent).toContainEqual({
      kind: 'device',
      event: { kind: 'ready', device: 'cpu:0' },
    });
  });

  it("warns when 'auto' finds no GPU", async () => {
    const process = new Process();
    await process.start({ devices: 'auto' });
    const { code, message } = await process.heard('warning');
    expect(code).toBe('PERMAFROST_NO_GPU');
    expect(message).toContain('none here');
    expect([...process.listeners.keys()]).toEqual(['cpu:0']);
    process.ready('cpu:0');
    expect((await process.heard('ready')).report.warnings).toEqual([{ code, message }]);
  });

  it('fails with the code of the device that failed, and ends the process', async () => {
    const process = new Process();
    await process.start({ devices: ['cpu:0', 'cpu:1'] });
    process.ready('cpu:0');
    const error = { code: 'ERR_OUT_OF_MEMORY', message: 'too little' } as const;
    process.listener('cpu:1')({ kind: 'failed', error });
    expect((await process.heard('failed')).error).toEqual(error);
    expect(process.numExits).toBe(1);
  });

  it('fails when a device does not exist', async () => {
    const process = new Process();
    await process.start({ devices: ['cuda:0'] });
    expect((await process.heard('failed')).error.code).toBe('ERR_NO_DEVICE');
  });

  it('can be given up', async () => {
    const process = new Process();
    await process.start({});
    process.tell({ kind: 'close' });
    await process.heard('closed');
    process.ready('cpu:0');
    await nextTurn();
    expect(process.sent.map(({ kind }) => kind)).not.toContain('ready');
    expect(process.numExits).toBe(1);
  });
});

describe('a restart', () => {
  const error = { code: 'ERR_OUT_OF_MEMORY', message: 'too little' } as const;

  it('goes on without a device that fails, and tells', async () => {
    const process = new Process();
    await process.start({ devices: ['cpu:0', 'cpu:1', 'cpu:2'] }, true);
    process.ready('cpu:0');
    process.listener('cpu:1')({ kind: 'failed', error });
    process.listener('cpu:2')({ kind: 'exited', reason: 'its worker ended unexpectedly' });
    const { report } = await process.heard('ready');
    expect(report.devices.map(({ device }) => device)).toEqual(['cpu:0']);
    expect(process.leftOut()).toEqual(['cpu:1', 'cpu:2']);
    expect((await process.heard('warning')).message).toContain('too little');
  });

  it('fails when no device is left', async () => {
    const process = new Process();
    await process.start({ devices: ['cpu:0', 'cpu:1'] }, true);
    for (const device of ['cpu:0', 'cpu:1']) process.listener(device)({ kind: 'failed', error });
    expect((await process.heard('failed')).error).toEqual(error);
    expect(process.leftOut()).toEqual([]);
  });

  it('goes on without a device that has vanished', async () => {
    const process = new Process();
    await process.start({ devices: ['cpu:0', 'cuda:3'] }, true);
    process.ready('cpu:0');
    await process.heard('ready');
    expect(process.leftOut()).toEqual(['cuda:3']);
  });

  it('goes on without a device that does not answer in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const process = new Process();
      await process.start({ devices: ['cpu:0', 'cpu:1'], startupTimeoutMs: 500 }, true);
      process.ready('cpu:0');
      await nextTurn();
      vi.advanceTimersByTime(500);
      await process.heard('ready');
      expect(process.leftOut()).toEqual(['cpu:1']);
      process.ready('cpu:1');
      expect(process.sent.at(-1)?.kind).toBe('ready');
      expect(process.numExits).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a running process', () => {
  async function startProcess(): Promise<Process> {
    const process = new Process();
    await process.start({});
    process.ready('cpu:0');
    await process.heard('ready');
    return process;
  }

  it('ends when it loses a device for good, and names it', async () => {
    const process = await startProcess();
    const error = { code: 'ERR_DEVICE_LOST', message: 'sticky error' } as const;
    process.listener('cpu:0')({ kind: 'failed', error });
    expect((await process.heard('device')).event.device).toBe('cpu:0');
    const failed = await process.heard('failed');
    expect(failed.error).toMatchObject({
      code: 'ERR_DEVICE_LOST',
      message: expect.stringContaining('cpu:0'),
    });
    expect(failed.lost).toEqual({ device: 'cpu:0', hasFinished: false, keys: [] });
    expect(process.sent.at(-2)).toMatchObject({ kind: 'device', event: { kind: 'lost' } });
    expect(process.numExits).toBe(1);
  });

  it('treats a result that fits no step as the loss of the device', async () => {
    const process = await startProcess();
    process.listener('cpu:0')({ kind: 'result', words: new Int32Array(6) });
    expect((await process.heard('failed')).error.code).toBe('ERR_DEVICE_LOST');
  });

  it('starts a new worker for one that is gone, and tells', async () => {
    const process = await startProcess();
    const before = process.listener('cpu:0');
    before({ kind: 'exited', reason: 'its worker ended unexpectedly' });
    expect(process.sent.at(-1)).toMatchObject({ kind: 'device', event: { kind: 'lost' } });
    await nextTurn();
    expect(process.listener('cpu:0')).not.toBe(before);
    process.ready('cpu:0');
    await nextTurn();
    expect(process.sent.at(-1)).toMatchObject({ kind: 'device', event: { kind: 'ready' } });
    expect(process.numExits).toBe(0);
  });

  it('answers a ping', async () => {
    const process = await startProcess();
    process.tell({ kind: 'ping' });
    expect(process.sent.at(-1)).toEqual({ kind: 'pong' });
  });

  it('answers a query for metrics', async () => {
    const process = await startProcess();
    process.tell({ kind: 'metrics', queryId: 7 });
    expect(await process.heard('metrics')).toMatchObject({
      queryId: 7,
      snapshot: { uptimeMs: 60 },
    });
  });

  it('closes its workers, says so once, and exits', async () => {
    const process = await startProcess();
    process.tell({ kind: 'close' });
    process.tell({ kind: 'close' });
    await process.heard('closed');
    expect(process.numExits).toBe(1);
    expect(process.sent.filter(({ kind }) => kind === 'closed')).toHaveLength(1);
  });
});
