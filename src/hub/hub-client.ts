/** Requests to the hub: with its token where that belongs, again where that may help, and in words. */

import { resolve } from 'node:path';
import { PermafrostError, reasonOf } from '../protocol/errors.js';
import { type HubName, hubNameText } from '../protocol/model-name.js';
import { answerError } from './hub-answers.js';
import type { HubSettings, HubToken } from './hub-settings.js';
import { PassingFailure, Retries, type Wait } from './retries.js';

export interface HubClientOptions {
  readonly model: HubName;
  readonly settings: HubSettings;
  readonly token: HubToken | null;
  readonly signal: AbortSignal;
  readonly wait: Wait;
}

export class HubClient {
  readonly model: HubName;
  readonly settings: HubSettings;
  readonly #token: HubToken | null;
  readonly #signal: AbortSignal;
  readonly #wait: Wait;
  #hasAnswered = false;

  constructor({ model, settings, token, signal, wait }: HubClientOptions) {
    this.model = model;
    this.settings = settings;
    this.#token = token;
    this.#signal = signal;
    this.#wait = wait;
  }

  retries(): Retries {
    return new Retries(this.#wait, this.#signal);
  }

  /**
   * What `fetch` is to a library that talks to the hub: gives only answers that are good.
   * @throws PermafrostError
   */
  readonly fetch: typeof fetch = async (input, init) => {
    const retries = this.retries();
    for (;;) {
      try {
        const headers = new Headers(init?.headers);
        const answer = await this.get(urlOf(input), headers, this.#silence());
        // An answer is small: nothing of it is to be waited for without an end.
        const body = await answer.body.arrayBuffer();
        answer.silence.end();
        const { status, headers: answered } = answer.body;
        return withUrl(new Response(body, { status, headers: answered }), answer.body.url);
      } catch (failure) {
        await retries.afterFailure(failure);
      }
    }
  };

  /** An answer whose body is still to come, and the watch over it. */
  async get(url: string, headers: Headers, silence = this.#silence()): Promise<HubAnswer> {
    headers.set('user-agent', 'permafrost');
    // Compressed on the way, a part of a file would be no part of it.
    headers.set('accept-encoding', 'identity');
    if (this.#token !== null && this.#isHub(url)) {
      // Redirects to another origin go without it: that is fetch's own rule.
      headers.set('authorization', `Bearer ${this.#token.text}`);
    }
    try {
      const body = await fetch(url, { headers, signal: silence.signal });
      silence.heard();
      this.#hasAnswered = true;
      if (!body.ok) throw await answerError(body, this.model, this.settings, this.#token);
      return { body, silence };
    } catch (cause) {
      silence.end();
      throw this.failure(cause, silence);
    }
  }

  /** What an answer that broke off, or never came, means. */
  failure(cause: unknown, silence: Silence): unknown {
    if (this.#signal.aborted) return abortedError(this.model, this.#signal);
    if (cause instanceof PermafrostError || cause instanceof PassingFailure) return cause;
    const where = `the hub at ${this.settings.endpoint}`;
    if (silence.isTooLong) {
      const message = `${where} sent nothing for ${this.settings.silenceMs / 1000} s`;
      return new PassingFailure(new PermafrostError('ERR_DOWNLOAD', message, { cause }));
    }
    const reason = networkReason(cause);
    const isForever = /CERT|SIGNED|SSL|TLS|INVALID_URL/.test(reason.code);
    const advice = isForever ? '; NODE_EXTRA_CA_CERTS may name the certificate to trust' : '';
    const unreached = `${where} can't be reached: ${reason.text}${advice}`;
    const isUnreachable = !this.#hasAnswered && UNREACHABLE.has(reason.code);
    const error = isUnreachable
      ? notHere(this.model, this.settings, unreached, cause)
      : new PermafrostError('ERR_DOWNLOAD', `${hubNameText(this.model)}: ${unreached}`, { cause });
    return isForever ? error : new PassingFailure(error, { isUnreachable });
  }

  #silence(): Silence {
    return new Silence(this.settings.silenceMs, this.#signal);
  }

  /** Whether an address is the hub's own, which alone is shown the token. */
  #isHub(url: string): boolean {
    return new URL(url).origin === new URL(this.settings.endpoint).origin;
  }
}

export interface HubAnswer {
  readonly body: Response;
  /** To be told of every piece, and to be ended. */
  readonly silence: Silence;
}

/** Aborts a request whose other end sends nothing for too long. */
export class Silence {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #outer: AbortSignal;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer.reason);
  isTooLong = false;

  constructor(limitMs: number, outer: AbortSignal) {
    this.#outer = outer;
    this.#timer = setTimeout(() => {
      this.isTooLong = true;
      this.#controller.abort();
    }, limitMs);
    if (outer.aborted) this.#onAbort();
    else outer.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onAbort);
  }
}

/** Of a model that is not on this machine, when the hub can't be asked for it. */
export function notHere(
  model: HubName,
  { cacheDir }: HubSettings,
  why: string,
  cause?: unknown,
): PermafrostError {
  const name = hubNameText(model);
  return new PermafrostError(
    'ERR_MODEL_NOT_FOUND',
    `${name}: there is no folder ${resolve(name)}, the model is not in the cache ${cacheDir}, ` +
      `and ${why}`,
    { cause },
  );
}

export function abortedError(model: HubName, signal: AbortSignal): PermafrostError {
  return new PermafrostError(
    'ERR_ABORTED',
    `the download of ${hubNameText(model)} was aborted by its signal; what there is of it is kept`,
    { cause: signal.reason },
  );
}

/** Nobody was there: no name, no way, no listener. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
]);

/** fetch says 'fetch failed', and the reason in its cause; of several addresses, in a list of errors. */
function networkReason(thrown: unknown): { readonly code: string; readonly text: string } {
  const { cause } = (thrown ?? {}) as { readonly cause?: unknown };
  const inner = (cause ?? thrown) as { readonly code?: unknown; readonly errors?: unknown };
  const first: unknown = Array.isArray(inner?.errors) ? inner.errors[0] : undefined;
  const { code } = (first ?? inner ?? {}) as { readonly code?: unknown };
  return {
    code: typeof code === 'string' ? code : '',
    text: reasonOf(first ?? inner) || String(code),
  };
}

function urlOf(input: Parameters<typeof fetch>[0]): string {
  if (typeof input === 'string') return input;
  return input instanceof URL ? input.href : input.url;
}

/** An answer that was read and made again has no address of its own. */
function withUrl(response: Response, url: string): Response {
  Object.defineProperty(response, 'url', { value: url });
  return response;
}
