/** The device that the GPU suites run on, and how they skip where there is none. */

import { describe, type SuiteAPI } from 'vitest';
import { addon } from '../native/addon.js';

export const DEVICE = 'cuda:0';

const { devices, cudaProblem } = addon.listDevices();
const isThere = devices.some(({ device }) => device === DEVICE);
if (!isThere) console.log(`skipped, no ${DEVICE}: ${cudaProblem}`);

/** A `describe` that runs only where there is a CUDA device. */
export const describeOnGpu = describe.skipIf(!isThere) as SuiteAPI;
