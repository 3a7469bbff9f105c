/** Loads the native addon. */

import { createRequire } from 'node:module';
import { PermafrostError } from '../protocol/errors.js';
import type { NativeAddon } from './native.js';

const ADDON_PATH = '../../build/Release/permafrost.node';

/** @throws ERR_NATIVE_ADDON when it was not built or does not load. */
export function loadNativeAddon(): NativeAddon {
  const require = createRequire(import.meta.url);
  try {
    return require(ADDON_PATH) as NativeAddon;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PermafrostError(
      'ERR_NATIVE_ADDON',
      `the native addon does not load (${reason}); run 'npm rebuild permafrost'`,
      { cause },
    );
  }
}
