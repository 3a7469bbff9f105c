/** Errors of rows that a job finds by itself, and those that are no row's fault. */

import type { ErrorCode, ErrorRecord } from '../protocol/errors.js';

const ENGINE_ERRORS: ReadonlySet<ErrorCode> = new Set(['ERR_CLOSED', 'ERR_DEVICE_LOST']);

/** Whether an error says something about the engine and nothing about the row that got it. */
export function isEngineError(code: ErrorCode): boolean {
  return ENGINE_ERRORS.has(code);
}

/** Of a row whose custom_id is on a line before it. */
export function duplicateError(customId: string | null): ErrorRecord {
  const id = JSON.stringify(customId).slice(0, 200);
  return { code: 'ERR_DUPLICATE_ID', message: `custom_id: ${id} is on an earlier line already` };
}
