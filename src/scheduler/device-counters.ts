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
  /** Steps whose decoding ran without a graph. */
  eagerSteps = 0;
  /** Tokens that admitted sequences found computed already. */
  cacheHitTokens = 0;
  busyMicros = 0;
  /** Time the device waited before steps, although there was something to do. */
  idleMicros = 0;
  readonly #graphs = new Map<number, { replays: number; paddedRows: number }>();

  /** Counts a step that has run. */
  count(step: StepInFlight, result: StepResult): void {
    const batchSize = result.decodeBatchSize;
    this.steps++;
    this.decodeTokens += step.numDecode;
    this.prefillTokens += step.numPrefillTokens;
    this.busyMicros += result.deviceMicros;
    if (!step.followsRest) this.idleMicros += result.idleMicros;
    if (batchSize < 0) this.eagerSteps++;
    if (batchSize <= 0) return;
    let graph = this.#graphs.get(batchSize);
    if (graph === undefined) {
      graph = { replays: 0, paddedRows: 0 };
      this.#graphs.set(batchSize, graph);
    }
    const paddedRows = batchSize - step.numDecode;
    graph.replays++;
    graph.paddedRows += paddedRows;
    this.paddedRows += paddedRows;
  }

  /** How often each captured size was replayed, smallest first. */
  graphUse(): GraphUse[] {
    return Array.from(this.#graphs, ([batchSize, graph]) => ({ batchSize, ...graph })).sort(
      (a, b) => a.batchSize - b.batchSize,
    );
  }
}
