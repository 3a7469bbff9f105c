/** The options of a queue's calls, checked before anything is touched. */

import { isAbortSignal } from '../protocol/abort-signal.js';
import { PermafrostError } from '../protocol/errors.js';
import { nearestName } from '../protocol/near-name.js';
import { isName, NAME_RULE } from './queue-address.js';

type Given = Readonly<Record<string, unknown>>;

/**
 * The options as fields to read, each once.
 *
 * @throws ERR_BAD_OPTION for a name that is not among `names`.
 */
export function readOptions(options: unknown, names: readonly string[]): Given {
  if (typeof options !== 'object' || options === null) {
    throw badOption('the options', 'must be an object');
  }
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    const near = nearestName(name, names);
    const advice = near === null ? `known are ${names.join(', ')}` : `did you mean ${near}?`;
    throw badOption(name, `unknown name; ${advice}`);
  }
  return { ...(options as Given) };
}

/** undefined stands for the default. */
export function wholeNumber(
  given: Given,
  name: string,
  {
    min,
    max,
    byDefault,
  }: { readonly min: number; readonly max: number; readonly byDefault: number },
): number {
  const value = given[name] === undefined ? byDefault : given[name];
  if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) {
    return Number(value);
  }
  throw badOption(name, `must be a whole number from ${min} to ${max}, not ${shown(value)}`);
}

export function flag(given: Given, name: string): boolean {
  const value = given[name];
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw badOption(name, `must be true or false, not ${shown(value)}`);
}

export function listener<Listener>(given: Given, name: string): Listener | null {
  const value = given[name];
  if (value === undefined) return null;
  if (typeof value === 'function') return value as Listener;
  throw badOption(name, `must be a function, not ${shown(value)}`);
}

export function abortSignal(given: Given): AbortSignal | null {
  const { signal } = given;
  if (signal === undefined) return null;
  if (isAbortSignal(signal)) return signal;
  throw badOption('signal', `must be an AbortSignal, not ${shown(signal)}`);
}

/** The name of a job; null when it is not given. */
export function jobName(given: Given): string | null {
  const { job } = given;
  if (job === undefined) return null;
  if (typeof job === 'string' && isName(job)) return job;
  throw badOption('job', `${shown(job)} can't be one: ${NAME_RULE}`);
}

/** The place of a store; null when it is not given. */
export function storePlace(given: Given): string | URL | null {
  const { store } = given;
  if (store === undefined) return null;
  if (typeof store === 'string' || store instanceof URL) return store;
  throw badOption('store', `must be a folder, not ${shown(store)}`);
}

export function badOption(name: string, what: string): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', `${name}: ${what}`);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
