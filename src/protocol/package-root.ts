/**
 * Where the files of this package are. Beside a bundle that this module was made part of, the paths
 * of our files lead to whatever the application has there, which must not be run in their place.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PermafrostError } from './errors.js';
import { VERSION } from './version.js';

const NAME = 'permafrost';

export interface PackageRoot {
  readonly path: string;
  /** This module is one of its files, and not part of a bundle. */
  readonly isOwn: boolean;
}

/**
 * The package's folder: the one of this module, or, when that is a bundle, the one that the bundle
 * would import from.
 *
 * @param moduleUrl Where a module of one of our folders in dist is; undefined in a CommonJS bundle.
 * @throws ERR_PROCESS when neither is this version of this package.
 */
export function findPackageRoot(moduleUrl: string | undefined): PackageRoot {
  const url = moduleUrl ?? commonJsUrl();
  const found = url === undefined ? [] : [folderOf(url), importable(url)];
  const versions = found.map((path) => (path === null ? null : versionAt(path)));
  const index = versions.indexOf(VERSION);
  const path = found[index];
  if (path) return { path, isOwn: index === 0 };
  const other = versions.find((version) => version !== null);
  const where = other === undefined ? 'are not there' : `are those of version ${other}`;
  throw new PermafrostError(
    'ERR_PROCESS',
    `Permafrost ${VERSION} was bundled into '${url ?? 'a file'}', and its own files, which run in a process of their own, ${where}: keep it out of the bundle (esbuild: --external:${NAME}; Next.js: serverExternalPackages: ['${NAME}']; webpack: externals) and install it beside`,
  );
}

/** The folder that is the package's when this module is the file that was published. */
function folderOf(url: string): string | null {
  return url.startsWith('file:') ? fileURLToPath(new URL('../../', url)) : null;
}

/** The folder of the package that an import from there finds. */
function importable(url: string): string | null {
  try {
    return dirname(createRequire(url).resolve(`${NAME}/package.json`));
  } catch {
    return null;
  }
}

/**
 * The version of this package in a folder; null = it is something else.
 * @throws ERR_PROCESS when that can't be told, as without file descriptors.
 */
function versionAt(root: string): string | null {
  const text = readIfThere(join(root, 'package.json'));
  try {
    const { name, version } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return name === NAME && typeof version === 'string' ? version : null;
  } catch {
    return null;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return '';
    throw new PermafrostError('ERR_PROCESS', `there is no scheduler process: ${message}`, {
      cause,
    });
  }
}

/** A bundle of CommonJS has no `import.meta`, but a file name. */
function commonJsUrl(): string | undefined {
  return typeof __filename === 'string' ? pathToFileURL(__filename).href : undefined;
}
