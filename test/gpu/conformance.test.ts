/** Every operation of the CUDA backend against the CPU's: test/native/conformance*.cc. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { DEVICE, describeOnGpu } from './device.js';

const PROGRAM = fileURLToPath(new URL('../../build/Release/cuda_conformance', import.meta.url));

describeOnGpu('the conformance suite', () => {
  test('passes on the GPU', { timeout: 600_000 }, () => {
    if (!existsSync(PROGRAM)) {
      throw new Error(`${PROGRAM} is missing: PERMAFROST_BUILD_TESTS=1 npm run build:addon`);
    }
    const run = spawnSync(PROGRAM, [DEVICE], { encoding: 'utf8', maxBuffer: 1 << 26 });
    const lastLine = run.stdout.trim().split('\n').at(-1);
    console.log(lastLine);
    expect(run.stderr).toBe('');
    expect(run.status, run.stdout).toBe(0);
    expect(lastLine).toMatch(/^[1-9]\d* passed, 0 failed$/);
  });
});
