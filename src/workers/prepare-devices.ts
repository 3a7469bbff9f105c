/**
 * Preloaded into the scheduler process, whose arguments name its devices: a CUDA driver takes
 * 0.2 s to open one, and begins with that while the process's own modules load.
 */

import { loadNativeAddon } from './native-addon.js';

try {
  loadNativeAddon().prepareDevices(process.argv.slice(2));
} catch {
  // The worker that needs the addon tells what is wrong with it.
}
