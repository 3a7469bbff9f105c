/** The engine as an application has it: the public face of this package. */

import { availableParallelism } from 'node:os';
import { EventEmitter } from 'eventemitter3';
import { findModel } from '../hub/find-model.js';
import { PermafrostError } from '../protocol/errors.js';
import { type EngineConfig, type EngineOptions, takeEngineOptions } from '../protocol/options.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import { canRehearse } from '../protocol/rehearsal.js';
import type {
  EngineEvents,
  MetricsSnapshot,
  StartupReport,
  WarningEvent,
} from '../protocol/report.js';
import { validateCall } from '../protocol/request-validation.js';
import type {
  BatchRow,
  Completion,
  Prompt,
  SamplingParams,
  StreamChunk,
} from '../protocol/requests.js';
import { refuseInsideScheduler } from '../protocol/scheduler-marker.js';
import { shortened, valueText } from '../protocol/value-text.js';
import { onAbort } from './abort-watch.js';
import { Batch } from './batch.js';
import type { BatchInput, BatchOptions } from './batch-options.js';
import { openRequest, requestId, toCompletion } from './request-port.js';
import { SchedulerClient } from './scheduler-client.js';
import { prepareLaunch } from './scheduler-launch.js';
import { spawnScheduler } from './scheduler-process.js';
import { streamRequest } from './stream.js';

/** How `generate` and `stream` treat one prompt: sampling, and what a batch's request may have. */
export interface GenerateOptions extends SamplingParams {
  /** Default: `req-` and a number. */
  readonly id?: string;
  /** Higher runs first. In the range of 32-bit integers, default 0. */
  readonly priority?: number;
  /** Milliseconds from the call after which the request ends with finishReason 'deadline'. */
  readonly deadlineMs?: number;
  /** Ends the request early with finishReason 'abort'. */
  readonly signal?: AbortSignal;
}

/** A listener of one of the engine's events. */
export type EngineListener<Name extends keyof EngineEvents> = EventEmitter.EventListener<
  EngineEvents,
  Name
>;

/**
 * A model on one or more devices, in a process of its own. Engines are independent of each other,
 * and leave the V8 flags and the heap of this process alone.
 *
 * An engine keeps this process alive while it starts, closes, or has a call to answer; an idle one
 * does not, and ends with this process however that ends.
 *
 * When its process is lost, the engine starts another one and goes on with what was open: no call
 * fails for it, nothing is answered twice, and a stream continues behind what it has given. Only when
 * `maxRestarts` of them in a row finish no row, every open call and all later ones fail with
 * ERR_DEVICE_LOST; and with ERR_POISONED a request that was lost three times, at last while it ran
 * alone.
 *
 * @example
 * const engine = await Engine.start({ model: './models/tiny', devices: ['cpu'] })
 * try {
 *   const { text } = await engine.generate('17+25=', { maxTokens: 8, temperature: 0 })
 * } finally {
 *   await engine.close()
 * }
 */
export class Engine implements AsyncDisposable {
  /** How the start went: phases, and every device's memory and captured graphs. */
  readonly startup: StartupReport;
  readonly #client: SchedulerClient;
  readonly #events: EventEmitter<EngineEvents>;

  private constructor(
    client: SchedulerClient,
    events: EventEmitter<EngineEvents>,
    startup: StartupReport,
  ) {
    this.#client = client;
    this.#events = events;
    this.startup = startup;
  }

  /**
   * Loads a model on its devices and captures their graphs. One that is named as on the hub is first
   * downloaded, in this process, unless it is in the cache: see the event `download`.
   *
   * @returns the engine, ready for requests.
   * @throws ERR_BAD_OPTION, ERR_NO_DEVICE, ERR_MODEL_NOT_FOUND, ERR_MODEL_ACCESS, ERR_DOWNLOAD,
   *   ERR_FILE, ERR_MODEL_CONFIG, ERR_MODEL_WEIGHTS, ERR_TOKENIZER, ERR_UNSUPPORTED, ERR_OUT_OF_MEMORY, ERR_NATIVE_ADDON,
   *   ERR_PROCESS, ERR_STARTUP_TIMEOUT, ERR_DEVICE_LOST, ERR_ABORTED. Nothing of the engine is left then.
   * @example
   * const engine = await Engine.start({
   *   model: './models/tiny',
   *   on: { capture: ({ done, total }) => console.log(`${done} of ${total} graphs`) },
   * })
   */
  static async start(options: EngineOptions): Promise<Engine> {
    const taken = takeEngineOptions(options, process.env);
    const { listeners, signal } = taken;
    refuseInsideScheduler(process.env);
    throwIfAborted(signal);
    const events = new EventEmitter<EngineEvents>();
    const { capture, device, download, restart, startup, warning } = listeners;
    if (capture !== undefined) events.on('capture', capture);
    if (device !== undefined) events.on('device', device);
    if (download !== undefined) events.on('download', download);
    if (restart !== undefined) events.on('restart', restart);
    if (startup !== undefined) events.on('startup', startup);
    if (warning !== undefined) events.on('warning', warning);
    const warn = (event: WarningEvent): void => guard(() => emitWarning(events, event));
    const model = await findModel(taken.modelName, {
      env: process.env,
      signal,
      onProgress: (event) => guard(() => events.emit('download', event)),
    });
    throwIfAborted(signal);
    // A download is no part of the start, whose phases and time limit begin here.
    const requestedAtMs = monotonicMs();
    const config: EngineConfig = { ...taken.config, model };
    const { nodePath } = config;
    const launch = await prepareLaunch({ nodePath, signal }).catch((error: unknown) => {
      throwIfAborted(signal);
      throw error;
    });
    const client = new SchedulerClient({
      config,
      requestedAtMs,
      connect: (listener) => spawnScheduler(listener, launch, config.devices),
      events: {
        capture: (event) => guard(() => events.emit('capture', event)),
        device: (event) => guard(() => events.emit('device', event)),
        restart: (event) => guard(() => events.emit('restart', event)),
        startup: (report) => guard(() => events.emit('startup', report)),
        warning: warn,
      },
    });
    void client.gone.then(() => launch.reserve.close());
    const stopWatching = onAbort(signal, () => client.cancelStart(abortError(signal)));
    const rehearsal = new AbortController();
    if (canRehearse(availableParallelism())) {
      void rehearseBeside(config, rehearsal.signal, (message) =>
        warn({ code: 'PERMAFROST_WARNING', message }),
      );
    }
    const report = await client.ready.finally(() => {
      rehearsal.abort();
      stopWatching();
    });
    return new Engine(client, events, report);
  }

  /**
   * Generates one completion (or `n` choices). Prompt and options are copied before this returns.
   *
   * @param options sampling, and `id`, `priority`, `deadlineMs`, `signal`. When the signal aborts,
   *   the promise still resolves: to what there is by then, with finishReason 'abort'.
   * @throws ERR_BAD_REQUEST, ERR_REQUEST_TOO_LARGE, ERR_PROMPT_TOO_LONG, ERR_NO_TOKENIZER,
   *   ERR_NO_CHAT_TEMPLATE, ERR_TOKENIZER, ERR_DEVICE, ERR_POISONED, ERR_DEVICE_LOST, ERR_CLOSED
   * @example
   * const { text, usage } = await engine.generate('17+25=', { maxTokens: 8, temperature: 0 })
   */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Completion> {
    const request = validateCall(prompt, options, this.#client.limits);
    const key = this.#client.reserveKey();
    const result = await new Promise<Parameters<typeof toCompletion>[1]>((onResult, onError) => {
      openRequest(this.#client, key, request, { stream: false, sink: { onResult, onError } });
    });
    return toCompletion(requestId(key, request), result);
  }

  /**
   * Generates and gives text and token ids as they come. Prompt and options are copied before this
   * returns; the request starts when the first piece is asked for; leaving the loop early ends it.
   *
   * @returns pieces; the last one of each choice carries its finishReason, 'abort' when the signal
   *   ended it.
   * @throws what {@link Engine.generate} throws, from the iteration.
   * @example
   * const messages = [{ role: 'user', content: 'reverse planet =' }]
   * for await (const { text } of engine.stream({ messages }, { maxTokens: 200 })) {
   *   process.stdout.write(text)
   * }
   */
  stream(prompt: Prompt, options: GenerateOptions = {}): AsyncIterable<StreamChunk> {
    return streamRequest(this.#client, () => validateCall(prompt, options, this.#client.limits));
  }

  /**
   * Runs many requests and gives each its row as it finishes.
   *
   * Requests are taken from the input as there is room: at most `maxInflight` are out, rows that
   * the caller has not taken included. A request that is wrong or fails gets a row with its error.
   * Leaving the loop early ends what runs and closes the input.
   *
   * @param requests any iterable or async iterable of requests, or of prompts alone; its error ends
   *   the batch and is thrown. A request is copied when it is taken.
   * @returns rows in completion order; `index` is the request's place in the input.
   * @throws ERR_BAD_OPTION; ERR_CLOSED or ERR_DEVICE_LOST when the engine has ended, also from the
   *   iteration.
   * @example
   * const requests = ['1+1=', '2+2='].map((prompt) => ({ prompt, params: { temperature: 0 } }))
   * for await (const row of engine.batch(requests)) {
   *   console.log(row.index, 'error' in row ? row.error.message : row.completion.text)
   * }
   */
  batch(requests: BatchInput, options: BatchOptions = {}): AsyncIterableIterator<BatchRow> {
    return new Batch(this.#client, requests, options);
  }

  /**
   * Counters since the start, or since the last restart: requests, tokens, and each device's steps
   * and graph use. During a restart this waits for its end.
   *
   * @throws ERR_CLOSED, ERR_DEVICE_LOST
   * @example
   * const { completionTokens, devices } = await engine.metrics()
   */
  metrics(): Promise<MetricsSnapshot> {
    return this.#client.metrics();
  }

  /**
   * Calls `listener` at every event of this name. What a restart brings about is told like the first
   * start, behind 'restart'. The events of the start itself are over when
   * `Engine.start` resolves: listen to those with its option `on`.
   *
   * @example
   * engine.on('device', (event) => console.log(event.kind, event.device))
   */
  on<Name extends keyof EngineEvents>(name: Name, listener: EngineListener<Name>): this {
    this.#events.on(name, checkedListener(name, listener));
    return this;
  }

  /** Like {@link Engine.on}, for one event. */
  once<Name extends keyof EngineEvents>(name: Name, listener: EngineListener<Name>): this {
    this.#events.once(name, checkedListener(name, listener));
    return this;
  }

  /** Stops calling `listener`, or every listener of this name. */
  off<Name extends keyof EngineEvents>(name: Name, listener?: EngineListener<Name>): this {
    this.#events.off(name, listener);
    return this;
  }

  /**
   * Ends the engine: open calls fail with ERR_CLOSED. Idempotent.
   *
   * @returns when its process is gone: a process that has not ended after 5 seconds is killed.
   * @example
   * await engine.close()
   */
  close(): Promise<void> {
    return this.#client.close();
  }

  /** Whether the engine takes no more calls: it was closed, or its process is gone for good. */
  get isClosed(): boolean {
    return this.#client.isClosed;
  }

  /** `await using engine = await Engine.start(…)` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function abortError(signal: AbortSignal | undefined): PermafrostError {
  const message = 'the start of the engine was aborted by its signal';
  return new PermafrostError('ERR_ABORTED', message, { cause: signal?.reason });
}

/** @throws ERR_ABORTED */
function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** Loaded and run while the scheduler process starts; an engine does without it. */
async function rehearseBeside(
  config: EngineConfig,
  signal: AbortSignal,
  warn: (message: string) => void,
): Promise<void> {
  try {
    const { rehearse } = await import('./rehearsal.js');
    await rehearse({ config, signal });
  } catch (error) {
    warn(`the host's rehearsal failed, so that first requests take longer: ${error}`);
  }
}

/** @throws ERR_BAD_OPTION */
function checkedListener<Name extends keyof EngineEvents>(
  name: Name,
  listener: EngineListener<Name>,
): EngineListener<Name> {
  if (typeof listener === 'function') return listener;
  const given = valueText(listener);
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `the listener of ${shortened(String(name))}: must be a function, not ${given}`,
  );
}

/** Where nobody listens, Node tells on standard error, and whoever listens to its process. */
function emitWarning(events: EventEmitter<EngineEvents>, event: WarningEvent): void {
  if (events.emit('warning', event)) return;
  process.emitWarning(event.message, { type: 'PermafrostWarning', code: event.code });
}

/** A listener's error is the application's, and must not pass for one of the connection. */
function guard(emit: () => void): void {
  try {
    emit();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
