/** The way of one request from a call to the scheduler: checked, submitted, aborted by its signal. */

import { PermafrostError } from '../protocol/errors.js';
import { validateRequest } from '../protocol/request-validation.js';
import type { BatchRequest, Choice, Completion } from '../protocol/requests.js';
import { onAbort } from './abort-watch.js';
import type { RequestResult, RequestSink } from './pending-requests.js';

/** Where requests go. */
export interface RequestPort {
  /** A number for a request, unique in this engine. */
  reserveKey(): number;
  /** @throws ERR_CLOSED or ERR_DEVICE_LOST when the engine takes no more. */
  submit(key: number, request: BatchRequest, stream: boolean, sink: RequestSink): void;
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
export function requestId(key: number, request: unknown): string {
  const id = typeof request === 'object' && request !== null ? (request as BatchRequest).id : null;
  return typeof id === 'string' ? id : `req-${key}`;
}

/**
 * Checks a request and submits it. When its signal has aborted it is not submitted: the sink hears
 * of empty choices with the finish reason 'abort', before this returns.
 * @throws ERR_BAD_REQUEST, ERR_CLOSED, ERR_DEVICE_LOST
 */
export function openRequest(
  port: RequestPort,
  key: number,
  request: unknown,
  { stream, sink }: { readonly stream: boolean; readonly sink: RequestSink },
): OpenRequest {
  const valid = validateRequest(request);
  if (valid.signal?.aborted) {
    sink.onResult(abortedResult(valid));
    return { key, abandon: () => {} };
  }
  let stopWatching = () => {};
  port.submit(key, valid, stream, {
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
  stopWatching = onAbort(valid.signal, () => port.abort(key));
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

function abortedResult({ params }: BatchRequest): RequestResult {
  const logprobs = params?.logprobs === undefined ? {} : { logprobs: [] };
  const choice: Choice = { text: '', tokenIds: [], finishReason: 'abort', ...logprobs };
  return {
    choices: Array.from({ length: params?.n ?? 1 }, () => choice),
    usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
  };
}
