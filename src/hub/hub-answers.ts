/** What the hub's answers other than 200 mean for someone who wants a model. */

import { resolve } from 'node:path';
import { PermafrostError } from '../protocol/errors.js';
import { type HubName, hubNameText } from '../protocol/model-name.js';
import type { HubSettings, HubToken } from './hub-settings.js';
import { PassingFailure } from './retries.js';

/** Answers after which the same request may get another one. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** As much of an answer's words as a message has. */
const MAX_WORDS = 300;

/** The error of an answer, or the failure that is to be tried again. */
export async function answerError(
  response: Response,
  model: HubName,
  settings: HubSettings,
  token: HubToken | null,
): Promise<PermafrostError | PassingFailure> {
  const words = await wordsOf(response);
  const { status } = response;
  if (!PASSING.has(status)) return finalError(response, words, model, settings, token);
  const error = new PermafrostError(
    'ERR_DOWNLOAD',
    `${hubNameText(model)}: the hub at ${settings.endpoint} answers ${status}${words}` +
      (status === 429 && token === null ? '; with a token, HF_TOKEN, it allows more' : ''),
  );
  return new PassingFailure(error, { retryAfterMs: retryAfterMs(response.headers) });
}

function finalError(
  response: Response,
  words: string,
  model: HubName,
  { endpoint }: HubSettings,
  token: HubToken | null,
): PermafrostError {
  const { status, headers } = response;
  const { id, revision } = model;
  const code = headers.get('x-error-code') ?? '';
  const shown =
    token === null ? 'no token was shown, see HF_TOKEN' : `by the token of ${token.source}`;
  if (code === 'GatedRepo') {
    return new PermafrostError(
      'ERR_MODEL_ACCESS',
      `${id} is gated: accept its terms at ${endpoint}/${id}, then show the token of that account ` +
        `(HF_TOKEN, or 'hf auth login'); here ${shown}${words}`,
    );
  }
  if (code === 'RevisionNotFound') {
    return new PermafrostError(
      'ERR_MODEL_NOT_FOUND',
      `${id} has no branch, tag or commit '${revision}' on the hub at ${endpoint}`,
    );
  }
  // To who is not known, the hub says neither that a model is private nor that there is none.
  if (code === 'RepoNotFound' || status === 404) {
    return new PermafrostError(
      'ERR_MODEL_NOT_FOUND',
      `${id}: there is no folder ${resolve(id)}, and no model of this name on the hub at ` +
        `${endpoint}, or a private one that is not seen (${shown})`,
    );
  }
  if (status === 401 && token !== null) {
    return new PermafrostError(
      'ERR_MODEL_ACCESS',
      `the hub at ${endpoint} does not take the token of ${token.source}${words}`,
    );
  }
  if (status === 401 || status === 403 || status === 451) {
    return new PermafrostError(
      'ERR_MODEL_ACCESS',
      `the hub at ${endpoint} does not give ${id} (${status}; ${shown})${words}`,
    );
  }
  return new PermafrostError(
    'ERR_DOWNLOAD',
    `${hubNameText(model)}: the hub at ${endpoint} answers ${status}${words}`,
  );
}

/** `: what the hub says`. */
async function wordsOf(response: Response): Promise<string> {
  const header = response.headers.get('x-error-message');
  await response.body?.cancel().catch(() => {});
  return header === null ? '' : `: ${header.slice(0, MAX_WORDS)}`;
}

/** By the standard header, in seconds or as a date; else by the hub's own, `"api";r=0;t=55`. */
function retryAfterMs(headers: Headers, nowMs = Date.now()): number | null {
  const text = headers.get('retry-after');
  if (text !== null) {
    const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
    if (Number.isFinite(ms)) return Math.max(0, ms);
  }
  const seconds = /;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return seconds === undefined ? null : Number(seconds) * 1000;
}
