/** The progress of a model's download: bytes, how fast, time left. */

import { type ErrorCode, PermafrostError } from '../protocol/errors.js';
import type { DownloadEvent } from '../protocol/report.js';
import { UsageError } from './exit-code.js';
import {
  formatBar,
  formatBytes,
  formatDuration,
  formatRate,
  formatShortDuration,
} from './format.js';
import type { ProgressDisplay, ProgressState } from './progress.js';

const BAR_WIDTH = 24;
/** What is not on the hub, or not for us, is wrongly named; what can't be had now may be later. */
const NO_MODEL: ReadonlySet<ErrorCode> = new Set([
  'ERR_MODEL_NOT_FOUND',
  'ERR_MODEL_ACCESS',
  'ERR_UNSUPPORTED',
]);
/** Before that, a rate would say little. */
const MIN_ELAPSED_MS = 500;

/** Shows a download as it is told of. */
export class DownloadDisplay {
  readonly #progress: ProgressDisplay;
  /** At the first report with bytes: what was there before took this download no time. */
  #start: { readonly atMs: number; readonly doneBytes: number } | null = null;

  constructor(progress: ProgressDisplay) {
    this.#progress = progress;
  }

  /**
   * Runs a download with its progress shown.
   * @throws UsageError when there is no such model for us; what the download throws.
   */
  async around(
    download: (onProgress: (event: DownloadEvent) => void) => Promise<string>,
  ): Promise<string> {
    try {
      return await download((event) => this.#update(event));
    } catch (cause) {
      const isNoModel = cause instanceof PermafrostError && NO_MODEL.has(cause.code);
      throw isNoModel ? new UsageError('no model', { cause }) : cause;
    } finally {
      this.#progress.stop();
    }
  }

  #update(event: DownloadEvent): void {
    const nowMs = performance.now();
    if (event.waitsFor === null) this.#start ??= { atMs: nowMs, doneBytes: event.doneBytes };
    const elapsedMs = this.#start === null ? 0 : nowMs - this.#start.atMs;
    const cameBytes = event.doneBytes - (this.#start?.doneBytes ?? 0);
    const perMs = elapsedMs < MIN_ELAPSED_MS ? null : cameBytes / elapsedMs;
    this.#progress.show(downloadProgress(event, perMs));
  }
}

/** @param bytesPerMs null: not known yet. */
export function downloadProgress(event: DownloadEvent, bytesPerMs: number | null): ProgressState {
  const { model, doneBytes, totalBytes, waitsFor } = event;
  const name = { forms: [`Downloading ${model}`, model] };
  if (waitsFor !== null) {
    return { parts: [name, { forms: [`waits for ${waitsFor}, which downloads it`, 'waits'] }] };
  }
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const percent = Math.floor(100 * share);
  const leftMs =
    bytesPerMs === null || bytesPerMs <= 0 ? null : (totalBytes - doneBytes) / bytesPerMs;
  return {
    parts: [
      name,
      { forms: [`${percent} %`, `${percent}%`] },
      {
        forms: [`${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`, formatBytes(doneBytes)],
      },
      { forms: [formatBar(share, BAR_WIDTH)], isMinor: true },
      { forms: bytesPerMs === null ? [] : [`${formatRate(bytesPerMs / 1000)} MB/s`] },
      {
        forms:
          leftMs === null
            ? []
            : [`ETA ${formatDuration(leftMs)}`, `ETA ${formatShortDuration(leftMs)}`],
      },
    ],
    isComplete: doneBytes === totalBytes,
  };
}
