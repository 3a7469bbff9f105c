/** Loads the native addon. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import type { NativeAddon } from './native.js';

/** The addon's file. Tools that copy the files that a program needs follow a path in this form. */
export const NATIVE_ADDON_PATH = fileURLToPath(
  new URL('../../build/Release/permafrost.node', import.meta.url),
);

let loaded: NativeAddon | null = null;

/**
 * The addon of this thread.
 * @throws ERR_NATIVE_ADDON when it was not built or does not load.
 */
export function loadNativeAddon(): NativeAddon {
  if (loaded !== null) return loaded;
  const path = NATIVE_ADDON_PATH;
  const module = { exports: {} };
  try {
    process.dlopen(module, path);
  } catch (cause) {
    throw new PermafrostError('ERR_NATIVE_ADDON', describeFailure(path, cause), { cause });
  }
  loaded = module.exports as NativeAddon;
  return loaded;
}

function describeFailure(path: string, cause: unknown): string {
  // pnpm has its packages in such a folder, and builds none that is not approved.
  const isOfPnpm = path.includes('/.pnpm/');
  if (existsSync(path)) {
    const rebuild = isOfPnpm ? 'pnpm rebuild permafrost' : 'npm rebuild permafrost';
    return `the native addon does not load (${reasonOf(cause)}); run '${rebuild}'`;
  }
  const advice = isOfPnpm
    ? "pnpm runs the build of approved packages only: run 'pnpm approve-builds' and choose permafrost"
    : "run 'npm rebuild permafrost', and where install scripts have to be allowed, allow those of permafrost first";
  return `the native addon was not built (there is no '${path}'): ${advice}`;
}
