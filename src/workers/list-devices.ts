/** Entry of a short process: prints the devices as JSON, or an error record and exit code 1. */

import { PermafrostError } from '../protocol/errors.js';
import { loadNativeAddon } from './native-addon.js';

try {
  process.stdout.write(JSON.stringify(loadNativeAddon().listDevices()));
} catch (error) {
  process.stdout.write(JSON.stringify(PermafrostError.toRecord(error)));
  process.exitCode = 1;
}
