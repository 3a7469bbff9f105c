/** The progress of a batch job: rows, how fast, time left, failures, tokens, each device's share. */

import type { BatchFileProgress } from '../jobs/tally.js';
import type { DeviceMetrics } from '../protocol/report.js';
import { formatCount } from './format.js';
import type { ProgressDisplay, ProgressState } from './progress.js';
import { countParts, type DeviceShare, devicesPart, paceParts } from './progress-line.js';

export interface BatchDisplayOptions {
  readonly progress: ProgressDisplay;
  /** Asked whenever the display is due; without an answer the last shares stay. */
  readonly metrics: () => Promise<{ readonly devices: readonly DeviceTokens[] }>;
}

type DeviceTokens = Pick<DeviceMetrics, 'device' | 'prefillTokens' | 'decodeTokens'>;

/** Shows the latest progress of a job as often as its display wants it. */
export class BatchDisplay implements Disposable {
  readonly #options: BatchDisplayOptions;
  readonly #timer: NodeJS.Timeout;
  #latest: BatchFileProgress | null = null;
  #devices: readonly DeviceTokens[] = [];
  #isAsking = false;
  #isClosed = false;

  constructor(options: BatchDisplayOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#show(), options.progress.intervalMs);
  }

  /** Called at every row: does next to nothing. */
  update(now: BatchFileProgress): void {
    this.#latest = now;
  }

  /** Nothing is shown any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async #show(): Promise<void> {
    if (this.#latest === null) return;
    // An engine that takes long to answer is no reason to stop counting rows.
    if (!this.#isAsking) await this.#ask();
    if (!this.#isClosed) this.#options.progress.show(batchProgress(this.#latest, this.#devices));
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    try {
      ({ devices: this.#devices } = await this.#options.metrics());
    } catch {
      // An engine that is gone ends the job, which says so.
    }
    this.#isAsking = false;
  }
}

/** A job's progress, as the display has it. */
export function batchProgress(
  now: BatchFileProgress,
  devices: readonly DeviceTokens[],
): ProgressState {
  const { succeeded, failed, skipped, total, elapsedMs } = now;
  const rate = (count: number) => (elapsedMs > 0 ? count / (elapsedMs / 1000) : 0);
  const output = formatCount(rate(now.completionTokens));
  const prompt = formatCount(rate(now.promptTokens));
  return {
    parts: [
      ...countParts({ done: succeeded + failed + skipped, total, unit: 'rows' }),
      ...paceParts(rate(succeeded + failed), 'rows', timeLeftMs(now)),
      { forms: failed > 0 ? [`${formatCount(failed)} failed`] : [] },
      {
        forms: [`${prompt} prompt + ${output} output tokens/s`, `${output} tokens/s`],
        isMinor: true,
      },
      devicesPart(shares(devices)),
    ],
  };
}

/** null: nothing says how long it will take. Rows kept from before took this run no time. */
function timeLeftMs({
  total,
  succeeded,
  failed,
  skipped,
  elapsedMs,
}: BatchFileProgress): number | null {
  const done = succeeded + failed;
  if (total === null || done === 0) return null;
  return ((total - skipped - done) / done) * elapsedMs;
}

/** Of all tokens that the devices have computed. */
function shares(devices: readonly DeviceTokens[]): DeviceShare[] {
  const tokens = devices.map(({ prefillTokens, decodeTokens }) => prefillTokens + decodeTokens);
  const all = tokens.reduce((sum, count) => sum + count, 0);
  if (all === 0) return [];
  return devices.map(({ device }, index) => ({
    device,
    percent: Math.round((100 * (tokens[index] ?? 0)) / all),
  }));
}
