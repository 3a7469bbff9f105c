/** Many requests through an engine: an iterable in, rows in completion order out. */

import { PermafrostError } from '../protocol/errors.js';
import { type ValidRequest, validateRequest } from '../protocol/request-validation.js';
import type { BatchRow } from '../protocol/requests.js';
import { valueText } from '../protocol/value-text.js';
import { onAbort } from './abort-watch.js';
import {
  type BatchInput,
  type BatchOptions,
  checkBatchInput,
  checkBatchOptions,
} from './batch-options.js';
import type { RequestSink } from './pending-requests.js';
import {
  type OpenRequest,
  openRequest,
  type RequestPort,
  requestId,
  toCompletion,
} from './request-port.js';
import { choicesBytes } from './request-size.js';

const MAX_INFLIGHT_BYTES = 1 << 26;
/** Requests taken without a turn of the event loop between them: some milliseconds' work. */
const MAX_TAKEN_AT_ONCE = 1024;

type Source =
  | { readonly kind: 'sync'; readonly iterator: Iterator<unknown> }
  | { readonly kind: 'async'; readonly iterator: AsyncIterator<unknown> };

interface FinishedRow {
  readonly row: BatchRow;
  /** Of the request and its result. */
  readonly bytes: number;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<BatchRow, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Starts with the first `next()`. A request counts as in flight from the moment it leaves the input
 * until its row is taken: so a slow consumer slows the input down, and a slow engine too.
 */
export class Batch implements AsyncIterableIterator<BatchRow, undefined> {
  readonly #port: RequestPort;
  readonly #input: BatchInput;
  readonly #maxInflight: number;
  readonly #signal: AbortSignal | undefined;
  #source: Source | null = null;
  #state: 'new' | 'admitting' | 'draining' | 'done' = 'new';
  /** The input's `next` is under way. */
  #isReading = false;
  #numTakenSincePause = 0;
  #isPausing = false;
  readonly #running = new Map<number, OpenRequest>();
  readonly #rows: FinishedRow[] = [];
  /** Of the requests that run and the rows that nobody has taken. */
  #inflightBytes = 0;
  readonly #waiters: Waiter[] = [];
  /** Thrown after the rows that are finished. */
  #failure: { readonly error: unknown } | null = null;
  #nextIndex = 0;
  #stopWatching = () => {};

  /** @throws ERR_BAD_OPTION, ERR_CLOSED, ERR_DEVICE_LOST */
  constructor(port: RequestPort, input: BatchInput, options: BatchOptions) {
    const { maxInflight, signal } = checkBatchOptions(options);
    checkBatchInput(input);
    port.checkRunning();
    this.#port = port;
    this.#input = input;
    this.#maxInflight = maxInflight;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<BatchRow, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      if (this.#state === 'new') this.#start();
      this.#deliver();
      this.#admit();
    });
  }

  async return(): Promise<IteratorResult<BatchRow, undefined>> {
    const wasReading = this.#isReading;
    const closing = this.#stopAdmitting();
    this.#abandonRunning();
    this.#rows.length = 0;
    this.#inflightBytes = 0;
    this.#failure = null;
    this.#state = 'done';
    this.#deliver();
    // An input that is waiting for something could keep this waiting too.
    if (!wasReading) await closing;
    return { done: true, value: undefined };
  }

  #start(): void {
    this.#state = 'admitting';
    this.#stopWatching = onAbort(this.#signal, () => {
      void this.#stopAdmitting();
      for (const { key } of this.#running.values()) this.#port.abort(key);
      this.#deliver();
    });
    if (this.#state !== 'admitting') return;
    try {
      this.#port.checkRunning();
      this.#source = openInput(this.#input);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Takes requests from the input while there is room. */
  #admit(): void {
    while (this.#canAdmit()) {
      if (++this.#numTakenSincePause > MAX_TAKEN_AT_ONCE) {
        this.#pause();
        return;
      }
      this.#isReading = true;
      try {
        const source = this.#source;
        if (source?.kind === 'sync') this.#takeInput(source.iterator.next());
        else void this.#takeLater(source?.iterator.next());
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  /** An input that always has something ready would keep everything else from being done. */
  #pause(): void {
    this.#isPausing = true;
    setImmediate(() => {
      this.#isPausing = false;
      this.#numTakenSincePause = 0;
      this.#admit();
    });
  }

  async #takeLater(next: unknown): Promise<void> {
    try {
      this.#takeInput(await next);
    } catch (error) {
      this.#fail(error);
    }
    this.#admit();
  }

  #canAdmit(): boolean {
    return (
      this.#state === 'admitting' &&
      !this.#isReading &&
      !this.#isPausing &&
      this.#running.size + this.#rows.length < this.#maxInflight &&
      this.#inflightBytes < MAX_INFLIGHT_BYTES
    );
  }

  #takeInput(result: unknown): void {
    this.#isReading = false;
    // What comes after the end was asked for before it: it was never admitted.
    if (this.#state !== 'admitting') return;
    checkResult(result, this.#source?.kind === 'sync');
    if (result.done) {
      this.#state = 'draining';
      this.#deliver();
      return;
    }
    this.#take(this.#nextIndex++, result.value);
  }

  #take(index: number, given: unknown): void {
    const key = this.#port.reserveKey();
    let request: ValidRequest;
    try {
      request = validateRequest(given, this.#port.limits);
    } catch (error) {
      if (!(error instanceof PermafrostError)) throw error;
      this.#rows.push({ row: { index, id: idOf(given) ?? `req-${key}`, error }, bytes: 0 });
      this.#deliver();
      return;
    }
    this.#open(index, key, request);
  }

  #open(index: number, key: number, request: ValidRequest): void {
    const id = requestId(key, request);
    // A row that is finished before it runs leaves it to the caller to admit the next one.
    let isOpening = true;
    let isFinished = false;
    let bytes = 0;
    const finish = (row: BatchRow): void => {
      isFinished = true;
      this.#running.delete(index);
      const resultBytes = 'completion' in row ? choicesBytes(row.completion.choices) : 0;
      this.#inflightBytes += resultBytes;
      this.#rows.push({ row, bytes: bytes + resultBytes });
      this.#deliver();
      if (!isOpening) this.#admit();
    };
    const sink: RequestSink = {
      onResult: (result) => finish({ index, id, completion: toCompletion(id, result) }),
      onError: (error) => finish({ index, id, error }),
    };
    try {
      const open = openRequest(this.#port, key, request, { stream: false, sink });
      if (!isFinished) {
        bytes = request.sizeBytes;
        this.#inflightBytes += bytes;
        this.#running.set(index, open);
      }
    } catch (cause) {
      if (!(cause instanceof PermafrostError)) throw cause;
      // The engine is gone, and would refuse every further request.
      if (cause.code !== 'ERR_BAD_REQUEST') this.#failAfterRows(cause);
      finish({ index, id, error: cause });
    }
    isOpening = false;
  }

  /** Answers the calls of `next()` that can be answered. */
  #deliver(): void {
    while (this.#waiters.length > 0) {
      const finished = this.#rows.shift();
      const isOver = this.#state === 'draining' || this.#state === 'done';
      if (finished === undefined && !(isOver && this.#running.size === 0)) return;
      const waiter = this.#waiters.shift();
      if (finished !== undefined) {
        this.#inflightBytes -= finished.bytes;
        waiter?.resolve({ done: false, value: finished.row });
        continue;
      }
      this.#state = 'done';
      this.#stopWatching();
      const failure = this.#failure;
      this.#failure = null;
      if (failure === null) waiter?.resolve({ done: true, value: undefined });
      else waiter?.reject(failure.error);
    }
  }

  /** The input failed: nobody waits for what runs. */
  #fail(error: unknown): void {
    this.#isReading = false;
    if (this.#state !== 'admitting') return;
    this.#state = 'draining';
    this.#failure = { error };
    this.#abandonRunning();
    this.#deliver();
  }

  #failAfterRows(error: PermafrostError): void {
    if (this.#state !== 'admitting') return;
    this.#failure = { error };
    void this.#stopAdmitting();
  }

  #abandonRunning(): void {
    for (const open of this.#running.values()) open.abandon();
    this.#running.clear();
  }

  /** Tells the input, if it has begun and not ended, that no more is wanted. */
  async #stopAdmitting(): Promise<void> {
    this.#stopWatching();
    if (this.#state === 'new') this.#state = 'draining';
    if (this.#state !== 'admitting') return;
    this.#state = 'draining';
    try {
      await this.#source?.iterator.return?.();
    } catch {
      // It was told that its values don't matter any more; neither does its error.
    }
  }
}

function openInput(input: BatchInput): Source {
  const isAsync = Symbol.asyncIterator in input && input[Symbol.asyncIterator] !== undefined;
  const iterator: unknown = isAsync
    ? input[Symbol.asyncIterator]()
    : (input as Iterable<unknown>)[Symbol.iterator]();
  if (!isObject(iterator) || typeof iterator.next !== 'function') {
    throw badInput(`has an iterator without next(): ${valueText(iterator)}`);
  }
  return isAsync
    ? { kind: 'async', iterator: iterator as unknown as AsyncIterator<unknown> }
    : { kind: 'sync', iterator: iterator as unknown as Iterator<unknown> };
}

/** @throws ERR_BAD_OPTION when an input does not keep to the protocol: it would be asked for ever. */
function checkResult(result: unknown, isSync: boolean): asserts result is IteratorResult<unknown> {
  if (!isObject(result)) {
    throw badInput(`next() must give { done, value }, not ${valueText(result)}`);
  }
  if (isSync && typeof result.then === 'function') {
    throw badInput('next() gives promises: that is for Symbol.asyncIterator, not Symbol.iterator');
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return (typeof value === 'object' || typeof value === 'function') && value !== null;
}

function badInput(problem: string): PermafrostError {
  return new PermafrostError('ERR_BAD_OPTION', `the requests: ${problem}`);
}

/** What a wrong request is called in its row, if it says so. */
function idOf(request: unknown): string | null {
  try {
    const id = isObject(request) ? request.id : null;
    return typeof id === 'string' ? id : null;
  } catch {
    // Whatever its getters throw is in the row's error, if they were read.
    return null;
  }
}
