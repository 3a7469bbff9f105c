/** What `engine.batch()` is called with, checked before anything is touched. */

import { isAbortSignal } from '../protocol/abort-signal.js';
import { PermafrostError } from '../protocol/errors.js';
import { nearNameHint } from '../protocol/near-name.js';
import type { BatchRequest, Prompt } from '../protocol/requests.js';
import { shortened, thrownText, valueText } from '../protocol/value-text.js';

/** Options of `engine.batch()`. */
export interface BatchOptions {
  /**
   * Most requests taken from the input whose rows the consumer has not taken. Default 512; fewer
   * while they and their results take more than 64 MiB.
   */
  readonly maxInflight?: number;
  /** Takes no more input and ends what runs, whose rows come with the finish reason 'abort'. */
  readonly signal?: AbortSignal;
}

/** The input of `engine.batch()`: requests, or prompts alone. */
export type BatchInput = Iterable<BatchRequest | Prompt> | AsyncIterable<BatchRequest | Prompt>;

interface CheckedOptions {
  readonly maxInflight: number;
  readonly signal: AbortSignal | undefined;
}

const DEFAULT_MAX_INFLIGHT = 512;
const MAX_INFLIGHT = 2 ** 31 - 1;
const NAMES: readonly string[] = ['maxInflight', 'signal'] satisfies (keyof BatchOptions)[];

/** @throws ERR_BAD_OPTION */
export function checkBatchOptions(options: unknown): CheckedOptions {
  return reading('the options', () => {
    if (typeof options !== 'object' || options === null || Array.isArray(options)) {
      throw badOption(`the options: must be an object, not ${valueText(options)}`);
    }
    for (const name of Object.keys(options)) {
      if (NAMES.includes(name)) continue;
      throw badOption(`${shortened(name)}: unknown name${nearNameHint(name, NAMES)}`);
    }
    const { maxInflight = DEFAULT_MAX_INFLIGHT, signal } = options as Record<string, unknown>;
    if (
      !Number.isInteger(maxInflight) ||
      Number(maxInflight) < 1 ||
      Number(maxInflight) > MAX_INFLIGHT
    ) {
      const wanted = `a whole number from 1 to ${MAX_INFLIGHT}`;
      throw badOption(`maxInflight: must be ${wanted}, not ${valueText(maxInflight)}`);
    }
    if (signal !== undefined && !isAbortSignal(signal)) {
      throw badOption(`signal: must be an AbortSignal, not ${valueText(signal)}`);
    }
    return { maxInflight: Number(maxInflight), signal };
  });
}

/**
 * Whether the input can be gone through.
 * @throws ERR_BAD_OPTION that says what to give instead.
 */
export function checkBatchInput(input: unknown): void {
  reading('the requests', () => {
    const advice = adviceOn(input);
    if (advice === null) return;
    throw badOption(
      `the requests: must be an iterable of requests, not ${valueText(input)}${advice}`,
    );
  });
}

/** What else would be meant by an input; null for one that is right. */
function adviceOn(input: unknown): string | null {
  const isOneRequest = typeof input === 'string' || ArrayBuffer.isView(input);
  if (isOneRequest) return ': put it in a list';
  if (typeof input !== 'object' || input === null) {
    return typeof input === 'function' ? ': call it, and give what it returns' : '';
  }
  const { [Symbol.iterator]: sync, [Symbol.asyncIterator]: async } = input as Partial<
    Iterable<unknown> & AsyncIterable<unknown>
  >;
  if (typeof (async ?? sync) === 'function') return null;
  if ('prompt' in input || 'messages' in input) return ': put it in a list';
  if (typeof (input as { then?: unknown }).then === 'function') return ': await it first';
  return 'next' in input ? ': it has next, but lacks Symbol.iterator or Symbol.asyncIterator' : '';
}

/** What a caller's getters throw is told as what it is. */
function reading<Value>(what: string, read: () => Value): Value {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof PermafrostError) throw thrown;
    throw new PermafrostError('ERR_BAD_OPTION', `${what}: reading failed: ${thrownText(thrown)}`, {
      cause: thrown,
    });
  }
}

function badOption(message: string): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', message);
}
