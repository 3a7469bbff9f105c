import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { resolveEngineOptions } from '../../../src/protocol/options.js';

const model = '/models/tiny';

describe('engine options', () => {
  test('get their defaults', () => {
    expect(resolveEngineOptions({ model: 'models/tiny' }, {})).toEqual({
      model: resolve('models/tiny'),
      devices: 'auto',
      captureSizes: 'default',
      maxCaptureSize: null,
      enforceEager: false,
      gcPolicy: 'frozen',
      productPlan: 'measured',
      maxNumSeqs: null,
      maxModelLen: null,
      blockSize: 16,
      kvCacheBytes: null,
      gpuMemoryUtilization: 0.9,
      prefixCaching: true,
      startupTimeoutMs: 600_000,
      stepTimeoutMs: 120_000,
      maxRestarts: 5,
      cpuThreads: null,
      textThreads: null,
      textTimeoutMs: 10_000,
      textMemoryBytes: null,
      nodePath: null,
      maxRequestBytes: 33_554_432,
      maxRequestValues: 65_536,
    });
  });

  test('name devices in one way', () => {
    const { devices } = resolveEngineOptions({ model, devices: ['cpu', 'cuda', 'cuda:12'] }, {});
    expect(devices).toEqual(['cpu:0', 'cuda:0', 'cuda:12']);
  });

  test('take all devices of a kind by one word', () => {
    expect(resolveEngineOptions({ model, devices: 'cuda' }, {}).devices).toBe('cuda');
    expect(resolveEngineOptions({ model, devices: 'auto' }, {}).devices).toBe('auto');
  });

  test('name a Node, by a path from the working directory or a name on the PATH', () => {
    const env = { PERMAFROST_NODE: '/opt/node/bin/node' };
    expect(resolveEngineOptions({ model }, env).nodePath).toBe('/opt/node/bin/node');
    expect(resolveEngineOptions({ model, nodePath: './node' }, env).nodePath).toBe(resolve('node'));
    expect(resolveEngineOptions({ model, nodePath: 'node22' }, env).nodePath).toBe('node22');
    expect(resolveEngineOptions({ model }, { PERMAFROST_NODE: '' }).nodePath).toBeNull();
  });

  test('take the signal of another realm', () => {
    const signal = { aborted: false, reason: undefined, addEventListener() {} };
    expect(resolveEngineOptions({ model, signal }, {}).model).toBe(model);
  });

  test('know vllm67 as 67 sizes: 1, 2, 4, and every 8 to 512', () => {
    const { captureSizes } = resolveEngineOptions({ model, captureSizes: 'vllm67' }, {});
    expect(captureSizes).toHaveLength(67);
    expect(captureSizes.slice(0, 6)).toEqual([1, 2, 4, 8, 16, 24]);
    expect(captureSizes.at(-1)).toBe(512);
  });

  test('take the default policy from the environment, unless they name one', () => {
    const env = { PERMAFROST_ENABLE_CUDAGRAPH_GC: '1' };
    expect(resolveEngineOptions({ model }, env).gcPolicy).toBe('collect-per-graph');
    expect(resolveEngineOptions({ model, gcPolicy: 'frozen' }, env).gcPolicy).toBe('frozen');
    expect(resolveEngineOptions({ model, gcPolicy: { collectEvery: 3 } }, {}).gcPolicy).toEqual({
      collectEvery: 3,
    });
    const other = { PERMAFROST_ENABLE_CUDAGRAPH_GC: '0' };
    expect(resolveEngineOptions({ model }, other).gcPolicy).toBe('frozen');
  });

  test.each([
    [{}, 'model: '],
    [{ model: '' }, 'model: '],
    [{ model, modle: 1 }, 'modle: unknown name'],
    [{ model, prefixCaching: 'yes' }, 'prefixCaching: '],
    [{ model, devices: [] }, 'devices: '],
    [
      { model, devices: ['gpu'] },
      "devices[0]: must be 'cpu', 'cuda', 'cpu:N' or 'cuda:N', not \"gpu\"",
    ],
    [{ model, devices: ['cpu', 'cpu:0'] }, 'devices: names a device twice'],
    [{ model, captureSizes: [8, 0] }, 'captureSizes[1]: '],
    [{ model, captureSizes: [8, 8] }, 'captureSizes: has a size twice'],
    [{ model, captureSizes: 'all' }, 'captureSizes: '],
    [{ model, maxNumSeqs: 1.5 }, 'maxNumSeqs: '],
    [{ model, maxModelLen: -1 }, 'not -1'],
    [{ model, maxModelLen: 2 ** 32 + 512 }, 'not 4294967808'],
    [{ model, blockSize: 0 }, 'blockSize: '],
    [{ model, gpuMemoryUtilization: 1.1 }, 'gpuMemoryUtilization: '],
    [{ model, gpuMemoryUtilization: 0.5, kvCacheBytes: 1 }, 'excludes gpuMemoryUtilization'],
    [{ model, gcPolicy: 'sometimes' }, 'gcPolicy: '],
    [{ model, gcPolicy: { collectEvery: 0 } }, 'gcPolicy'],
    [{ model, startupTimeoutMs: 0 }, 'startupTimeoutMs: '],
    [{ model, startupTimeoutMs: 2 ** 31 }, 'startupTimeoutMs: '],
    [{ model, cpuThreads: '4' }, 'cpuThreads: '],
    [{ model, nodePath: '' }, 'nodePath: '],
    [{ model, signal: {} }, 'signal: must be an AbortSignal'],
    [{ model, on: { captured: () => {} } }, 'on.captured: unknown name'],
    [{ model, on: { capture: 1 } }, 'on.capture: must be a function'],
    ['models/tiny', 'the options: '],
    [null, 'the options: '],
  ])('refuse %j', (options, message) => {
    const complaint = expect.objectContaining({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining(message),
    });
    expect(() => resolveEngineOptions(options, {})).toThrow(complaint);
  });
});

describe('options that a caller got wrong', () => {
  test('name what was meant', () => {
    const act = () => resolveEngineOptions({ model: 'm', maxNumSeq: 4, gcpolicy: 'none' }, {});
    expect(act).toThrow('maxNumSeq: unknown name; did you mean maxNumSeqs?');
    expect(act).toThrow('gcpolicy: unknown name; did you mean gcPolicy?');
  });

  test('are refused when reading them throws', () => {
    const options = {
      get model(): string {
        throw new Error('no entry');
      },
    };
    expect(() => resolveEngineOptions(options, {})).toThrow(
      new PermafrostError('ERR_BAD_OPTION', 'the options: reading failed: no entry'),
    );
  });
});
