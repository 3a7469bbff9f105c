import type { GraphUse } from '../protocol/report.js';
import type { StepInFlight } from './step-in-flight.js';
import type { StepResult } from './step-result.js';

/** What a device has done since the start. */
export class DeviceCounters {
  steps = 0;
  decodeTokens = 0;
  prefillTokens = 0;
  /** Rows that ran only to fill a graph's batch size. */
  paddedRows = 0;
  preemptions = 0;
  busyMicros = 0;
  /** Time the device waited before steps. */
  idleMicros = 0;
  readonly #replays = new Map<number, number>();

  /** Counts a step that has run. */
  count(step: StepInFlight, result: StepResult): void {
    const batchSize = result.decodeBatchSize;
    this.steps++;
    this.decodeTokens += step.numDecode;
    this.prefillTokens += step.numPrefillTokens;
    this.busyMicros += result.deviceMicros;
    this.idleMicros += result.idleMicros;
    if (batchSize <= 0) return;
    this.paddedRows += batchSize - step.numDecode;
    this.#replays.set(batchSize, (this.#replays.get(batchSize) ?? 0) + 1);
  }

  /** How often each captured size was replayed, smallest first. */
  graphUse(): GraphUse[] {
    return Array.from(this.#replays, ([batchSize, replays]) => ({ batchSize, replays })).sort(
      (a, b) => a.batchSize - b.batchSize,
    );
  }
}
