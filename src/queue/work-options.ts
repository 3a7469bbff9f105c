/** What a worker is given. */

import { hostname } from 'node:os';
import type { BatchEngine } from '../jobs/batch-file-options.js';
import { PermafrostError } from '../protocol/errors.js';
import { parseQueueAddress, type QueueAddress } from './queue-address.js';
import {
  abortSignal,
  badOption,
  flag,
  listener,
  readOptions,
  storePlace,
  wholeNumber,
} from './queue-options.js';
import type { DeviceRoom } from './worker-room.js';

/** What a worker needs of an engine; an `Engine` is one. */
export interface QueueEngine extends BatchEngine {
  /** Without it, `maxInflight` says how much the engine takes. */
  metrics?(): Promise<{ readonly devices: readonly DeviceRoom[] }>;
}

/** What a worker tells while it works. */
export type WorkEvent =
  | {
      readonly kind: 'chunk';
      readonly label: string;
      readonly numRows: number;
      readonly numFailed: number;
    }
  /** A chunk that it had is another worker's now. */
  | { readonly kind: 'taken-away'; readonly label: string }
  | { readonly kind: 'given-back'; readonly label: string }
  /** A chunk gets error rows, since it ended one worker after another. */
  | { readonly kind: 'poisoned'; readonly label: string }
  | { readonly kind: 'outage'; readonly reason: string }
  | { readonly kind: 'restored' }
  | { readonly kind: 'warning'; readonly message: string };

/** A worker at its end. */
export interface WorkSummary {
  readonly chunks: number;
  readonly rows: number;
  readonly failedRows: number;
  /** Chunks that it had and did not finish. */
  readonly givenBack: number;
  readonly takenAway: number;
}

/** Options of {@link workOnQueue}. */
export interface WorkOptions {
  /** `redis://host/name`. */
  readonly queue: string | URL;
  /**
   * Takes more rows while fewer sequences than this are in the engine. Default: what keeps its devices
   * full.
   */
  readonly maxInflight?: number;
  /**
   * Milliseconds after which a worker that says nothing has lost its chunks. Default 30,000; it says so
   * three times in that time.
   */
  readonly lockMs?: number;
  /** Milliseconds that running chunks get after `signal`. Default 10,000. */
  readonly drainMs?: number;
  /** Ends when every job's rows are finished, instead of waiting for the next. Default false. */
  readonly untilEmpty?: boolean;
  /** Where this machine has the folder that jobs were submitted with, when that is elsewhere. */
  readonly store?: string | URL;
  /** Ends the work: no more chunks are taken, and what is unfinished after `drainMs` is given back. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: WorkEvent) => void;
}

export interface WorkSettings {
  readonly address: QueueAddress;
  readonly maxInflight: number | null;
  readonly lockMs: number;
  readonly drainMs: number;
  readonly untilEmpty: boolean;
  readonly store: string | URL | null;
  readonly signal: AbortSignal | null;
  readonly onEvent: (event: WorkEvent) => void;
  /** How this worker is called where its rows are shown. */
  readonly name: string;
}

const NAMES = [
  'queue',
  'maxInflight',
  'lockMs',
  'drainMs',
  'untilEmpty',
  'store',
  'signal',
  'onEvent',
] as const satisfies readonly (keyof WorkOptions)[];

const HOUR_MS = 3_600_000;

/** @throws ERR_BAD_OPTION */
export function checkWorkOptions(options: unknown): WorkSettings {
  const given = readOptions(options, NAMES);
  return {
    address: parseQueueAddress(given.queue, process.env),
    maxInflight:
      given.maxInflight === undefined
        ? null
        : wholeNumber(given, 'maxInflight', { min: 1, max: 2 ** 31 - 1, byDefault: 1 }),
    lockMs: wholeNumber(given, 'lockMs', { min: 500, max: HOUR_MS, byDefault: 30_000 }),
    drainMs: wholeNumber(given, 'drainMs', { min: 0, max: HOUR_MS, byDefault: 10_000 }),
    untilEmpty: flag(given, 'untilEmpty'),
    store: storePlace(given),
    signal: abortSignal(given),
    onEvent: listener<(event: WorkEvent) => void>(given, 'onEvent') ?? (() => {}),
    name: hostname(),
  };
}

/** @throws ERR_BAD_OPTION, ERR_CLOSED */
export function checkQueueEngine(engine: unknown): asserts engine is QueueEngine {
  const { batch, metrics, isClosed } = (engine ?? {}) as Partial<QueueEngine>;
  if (typeof batch !== 'function') throw badOption('the engine', 'must be an Engine');
  if (metrics !== undefined && typeof metrics !== 'function') {
    throw badOption('the engine', 'its metrics must be a function');
  }
  if (isClosed === true) {
    throw new PermafrostError('ERR_CLOSED', 'the engine is closed; start another one');
  }
}
