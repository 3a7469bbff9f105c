/**
 * What starting a scheduler process takes, kept from the start of the engine on: a restart may come
 * when the application has used up its descriptors, filled its environment, or removed its folder.
 */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPackageRoot } from '../protocol/package-root.js';
import { DescriptorReserve } from './descriptor-reserve.js';
import { findNode, type NodeCommand, type NodeSearch } from './node-command.js';

export interface SchedulerLaunch {
  readonly node: NodeCommand;
  /** What the process runs. */
  readonly entry: string;
  /** What it loads before that when it is to use a GPU. */
  readonly preload: string;
  /** As it was when the engine was started, without NODE_OPTIONS. */
  readonly env: NodeJS.ProcessEnv;
  readonly reserve: DescriptorReserve;
}

/**
 * @throws ERR_PROCESS when there is no Node to run the process, or its files are not beside us;
 *   ERR_BAD_OPTION when `nodePath` names something else.
 */
export async function prepareLaunch(search: Omit<NodeSearch, 'env'>): Promise<SchedulerLaunch> {
  const { entry, preload } = findEntries();
  const { NODE_OPTIONS: _, ...env } = process.env;
  const node = await findNode({ ...search, env });
  return { node, entry, preload, env, reserve: new DescriptorReserve() };
}

function findEntries(): Pick<SchedulerLaunch, 'entry' | 'preload'> {
  const { path, isOwn } = findPackageRoot(import.meta.url);
  if (!isOwn) {
    return {
      entry: join(path, 'dist/scheduler/main.js'),
      preload: join(path, 'dist/workers/prepare-devices.js'),
    };
  }
  // Tools that copy the files that a program needs follow paths in this form.
  return {
    entry: fileURLToPath(new URL('../scheduler/main.js', import.meta.url)),
    preload: fileURLToPath(new URL('../workers/prepare-devices.js', import.meta.url)),
  };
}
