/**
 * What keeps a chain of processes from forming: a program that was started as a scheduler process, but
 * is an application with engines of its own, must not start another one.
 */

import { PermafrostError } from './errors.js';

/** Set for a process that is to be a scheduler process, which takes it out of its environment. */
export const SCHEDULER_MARKER = 'PERMAFROST_SCHEDULER';

/** @throws ERR_PROCESS in a process that was started as a scheduler process. */
export function refuseInsideScheduler(env: NodeJS.ProcessEnv): void {
  if (env[SCHEDULER_MARKER] === undefined) return;
  throw new PermafrostError(
    'ERR_PROCESS',
    `this process was started by an engine to be its scheduler process (${SCHEDULER_MARKER} is set), but runs an application: '${process.execPath}' is not Node; name a Node in the option nodePath or in PERMAFROST_NODE of the first process`,
  );
}
