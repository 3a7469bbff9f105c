/** One request as a stream of pieces. */

import type { PermafrostError } from '../protocol/errors.js';
import type { ChunkRecord } from '../protocol/messages.js';
import type { ValidRequest } from '../protocol/request-validation.js';
import type { StreamChunk } from '../protocol/requests.js';
import { type OpenRequest, openRequest, type RequestPort } from './request-port.js';
import type { RequestResult } from './result-gathering.js';

/** How much of a choice the consumer's pieces have covered. */
interface Covered {
  textLength: number;
  numTokens: number;
  isFinished: boolean;
}

/**
 * The pieces of a request, submitted when the first one is asked for. Every choice ends with a
 * piece that carries its finish reason; a consumer that stops early ends the request.
 *
 * @param take Called before this returns; what it throws comes from the iteration.
 */
export function streamRequest(
  port: RequestPort,
  take: () => ValidRequest,
): AsyncGenerator<StreamChunk, void, undefined> {
  try {
    return streamTaken(port, take());
  } catch (error) {
    return failing(error);
  }
}

// biome-ignore lint/correctness/useYield: it has nothing to give but its error.
async function* failing(error: unknown): AsyncGenerator<StreamChunk, void, undefined> {
  throw error;
}

async function* streamTaken(
  port: RequestPort,
  request: ValidRequest,
): AsyncGenerator<StreamChunk, void, undefined> {
  const chunks: StreamChunk[] = [];
  const covered = new Map<number, Covered>();
  let end: { readonly error: PermafrostError | null } | null = null;
  let wake = () => {};
  const take = (chunk: StreamChunk): void => {
    const so = covered.get(chunk.choice) ?? { textLength: 0, numTokens: 0, isFinished: false };
    covered.set(chunk.choice, {
      textLength: so.textLength + chunk.text.length,
      numTokens: so.numTokens + chunk.tokenIds.length,
      isFinished: so.isFinished || chunk.finishReason !== undefined,
    });
    chunks.push(chunk);
  };
  const open: OpenRequest = openRequest(port, port.reserveKey(), request, {
    stream: true,
    sink: {
      onChunk: ({ key: _, ...chunk }: ChunkRecord) => {
        take(chunk);
        wake();
      },
      onResult: (result) => {
        for (const chunk of remainder(result, covered)) take(chunk);
        end = { error: null };
        wake();
      },
      onError: (error) => {
        end = { error };
        wake();
      },
    },
  });
  try {
    for (;;) {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        yield chunk;
        continue;
      }
      // Assigned in callbacks, which the compiler does not see.
      const ended = end as { readonly error: PermafrostError | null } | null;
      if (ended?.error) throw ended.error;
      if (ended !== null) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    if (end === null) open.abandon();
  }
}

/** What a result has beyond the pieces before it, such as a request's that was aborted in a queue. */
function* remainder(
  { choices }: RequestResult,
  covered: ReadonlyMap<number, Covered>,
): Generator<StreamChunk> {
  for (const [choice, { text, tokenIds, finishReason }] of choices.entries()) {
    const so = covered.get(choice) ?? { textLength: 0, numTokens: 0, isFinished: false };
    if (so.isFinished) continue;
    yield {
      choice,
      text: text.slice(so.textLength),
      tokenIds: tokenIds.slice(so.numTokens),
      finishReason,
    };
  }
}
