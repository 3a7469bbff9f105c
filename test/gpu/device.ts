/** The devices that the GPU suites run on, and how they skip where there are none. */

import { describe, type SuiteAPI } from 'vitest';
import { addon } from '../native/addon.js';

export const DEVICE = 'cuda:0';
export const TWO_DEVICES = [DEVICE, 'cuda:1'] as const;

const { devices, cudaProblem } = addon.listDevices();
const isThere = (name: string): boolean => devices.some(({ device }) => device === name);
const missing = TWO_DEVICES.filter((name) => !isThere(name));
if (missing.length > 0) {
  console.log(`skipped, no ${missing.join(', ')}: ${cudaProblem || 'all others are there'}`);
}

/** A `describe` that runs only where there is a CUDA device. */
export const describeOnGpu = describe.skipIf(missing.includes(DEVICE)) as SuiteAPI;
/** One that runs only where there are two. */
export const describeOnTwoGpus = describe.skipIf(missing.length > 0) as SuiteAPI;
