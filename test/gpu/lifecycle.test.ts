import { afterEach, expect, test } from 'vitest';
import { addon, admission, loadedRunner, runnerOptions, StepDriver } from '../native/addon.js';
import { DEVICE, describeOnGpu } from './device.js';

const CYCLES = 20;

/** Free memory must not shrink by more than this from the first cycle to the last. */
const STEADY_BYTES = 32 * 2 ** 20;

function freeBytes(): number {
  return addon.listDevices().devices.find(({ device }) => device === DEVICE)?.freeBytes ?? 0;
}

afterEach(() => {
  expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
});

describeOnGpu('a runner on a GPU', () => {
  test(`gives everything back in ${CYCLES} cycles of load, capture, step and close`, {
    timeout: 300_000,
  }, async () => {
    let freeAfterFirst = 0;
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const runner = loadedRunner({ device: DEVICE });
      try {
        runner.warmup(2);
        runner.capture(2);
        const driver = new StepDriver(runner);
        await driver.run({
          admitted: [admission(0, { promptLength: 3 })],
          appends: [{ slot: 0, column: 0, blocks: [7] }],
          prefills: [{ slot: 0, position: 0, tokens: [1, 2, 3], last: true }],
        });
        await driver.run({ numDecode: 1 });
        expect(addon.liveAllocations().allocations).toBeGreaterThan(0);
      } finally {
        runner.close();
      }
      expect(addon.liveAllocations()).toEqual({ allocations: 0, bytes: 0 });
      if (cycle === 0) freeAfterFirst = freeBytes();
    }
    expect(freeAfterFirst - freeBytes()).toBeLessThan(STEADY_BYTES);
  });

  test('says what it asked for and what is free when the KV cache is far too large', () => {
    const runner = new addon.Runner(runnerOptions({ device: DEVICE, kvCacheBytes: 2 ** 44 }));
    try {
      runner.loadWeights();
      expect(() => runner.reserve()).toThrow(
        expect.objectContaining({
          code: 'ERR_OUT_OF_MEMORY',
          message: expect.stringMatching(/cuda:0.*\d{13}.*\d{8}/),
        }),
      );
    } finally {
      runner.close();
    }
  });

  test('is refused by name on a device that is not there', () => {
    expect(() => new addon.Runner(runnerOptions({ device: 'cuda:99' }))).toThrow(
      expect.objectContaining({ code: 'ERR_NO_DEVICE', message: expect.stringMatching(/cuda:0/) }),
    );
  });
});
