/** The way of one request from a call to the scheduler: submitted, and aborted by its signal. */

import { PermafrostError } from '../protocol/errors.js';
import type { RequestLimits } from '../protocol/request-reader.js';
import type { ValidRequest } from '../protocol/request-validation.js';
import type { Choice, Completion } from '../protocol/requests.js';
import { thrownText } from '../protocol/value-text.js';
import { onAbort } from './abort-watch.js';
import type { RequestSink } from './pending-requests.js';
import type { RequestResult } from './result-gathering.js';

/** Where requests go. */
export interface RequestPort {
  /** How large requests may be. */
  readonly limits: RequestLimits;
  /** @throws ERR_CLOSED or ERR_DEVICE_LOST when the engine takes no more. */
  checkRunning(): void;
  /** A number for a request, unique in this engine. */
  reserveKey(): number;
  /** @throws ERR_CLOSED or ERR_DEVICE_LOST when the engine takes no more. */
  submit(key: number, request: ValidRequest, stream: boolean, sink: RequestSink): void;
  /** Ends a request early: its sink hears of what there is, with the finish reason 'abort'. */
  abort(key: number): void;
  /** Ends a request early, of which its sink hears nothing any more. */
  abandon(key: number): void;
}

/** A request under way. */
export interface OpenRequest {
  readonly key: number;
  /** Ends it; the sink hears nothing any more. Idempotent. */
  abandon(): void;
}

/** What a request is called in its results. */
export function requestId(key: number, { id }: Pick<ValidRequest, 'id'>): string {
  return id ?? `req-${key}`;
}

/**
 * Submits a request. When its signal has aborted it is not submitted: the sink hears
 * of empty choices with the finish reason 'abort', before this returns.
 * @throws ERR_BAD_REQUEST when the signal is none, ERR_CLOSED, ERR_DEVICE_LOST
 */
export function openRequest(
  port: RequestPort,
  key: number,
  request: ValidRequest,
  { stream, sink }: { readonly stream: boolean; readonly sink: RequestSink },
): OpenRequest {
  const { signal } = request;
  if (signal?.aborted) {
    sink.onResult(abortedResult(request));
    return { key, abandon: () => {} };
  }
  let stopWatching = () => {};
  port.submit(key, request, stream, {
    onChunk: (chunk) => sink.onChunk?.(chunk),
    onResult: (result) => {
      stopWatching();
      sink.onResult(result);
    },
    onError: (error) => {
      stopWatching();
      sink.onError(error);
    },
  });
  try {
    stopWatching = onAbort(signal, () => port.abort(key));
  } catch (cause) {
    port.abandon(key);
    const message = `signal: listening to it failed: ${thrownText(cause)}`;
    throw new PermafrostError('ERR_BAD_REQUEST', message, { cause });
  }
  return {
    key,
    abandon: () => {
      stopWatching();
      port.abandon(key);
    },
  };
}

/** @throws ERR_PROTOCOL when there is no choice. */
export function toCompletion(id: string, { choices, usage }: RequestResult): Completion {
  const [first] = choices;
  if (first === undefined) {
    throw new PermafrostError('ERR_PROTOCOL', `the scheduler gave request '${id}' no choices`);
  }
  return { id, choices, usage, ...first };
}

function abortedResult({ params }: ValidRequest): RequestResult {
  const logprobs = params.logprobs === undefined ? {} : { logprobs: [] };
  const choice: Choice = { text: '', tokenIds: [], finishReason: 'abort', ...logprobs };
  return {
    choices: Array.from({ length: params.n ?? 1 }, () => choice),
    usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
  };
}
