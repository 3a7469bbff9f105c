/** What a request is told whose text work was cut off. */

import type { ErrorRecord } from './errors.js';

export function tookTooLong(timeoutMs: number): ErrorRecord {
  const message = `its text work was not done after ${Math.round(timeoutMs)} ms; raise textTimeoutMs`;
  return { code: 'ERR_TEXT_LIMIT', message };
}

export function tookTooMuchMemory(memoryBytes: number): ErrorRecord {
  const message = `its text work took more than ${memoryBytes} bytes of memory; raise textMemoryBytes`;
  return { code: 'ERR_TEXT_LIMIT', message };
}
