// An engine's counters in the form that Prometheus reads. They are the engine's own, so each reading
// sets them instead of adding up; like those of a new process, they begin again at 0 when the engine
// had to restart.
import { Counter, Gauge, Registry } from 'prom-client';

const ENGINE = [
  [Gauge, 'uptime_seconds', 'Seconds since the engine started', (m) => m.uptimeMs / 1000],
  [Gauge, 'queued_requests', 'Requests that wait for a device', (m) => m.queuedRequests],
  [Gauge, 'running_requests', 'Requests on a device', (m) => m.runningRequests],
  [Counter, 'finished_requests_total', 'Requests with an answer', (m) => m.finishedRequests],
  [Counter, 'failed_requests_total', 'Requests that ended with an error', (m) => m.failedRequests],
  [Counter, 'prompt_tokens_total', 'Tokens of prompts', (m) => m.promptTokens],
  [Counter, 'cached_tokens_total', 'Prompt tokens from the prefix cache', (m) => m.cachedTokens],
  [Counter, 'completion_tokens_total', 'Generated tokens', (m) => m.completionTokens],
];

const DEVICE = [
  [Gauge, 'device_slots', 'Sequences that fit at once', (d) => d.numSlots],
  [Gauge, 'device_running_sequences', 'Sequences in a slot', (d) => d.runningSequences],
  [Gauge, 'device_waiting_sequences', 'Sequences without a slot', (d) => d.waitingSequences],
  [Gauge, 'device_kv_blocks', 'Blocks of the KV cache', (d) => d.totalBlocks],
  [Gauge, 'device_kv_free_blocks', 'Blocks that hold nothing', (d) => d.freeBlocks],
  [Gauge, 'device_kv_cached_blocks', 'Blocks kept for their prefix', (d) => d.cachedBlocks],
  [Counter, 'device_steps_total', 'Steps run', (d) => d.steps],
  [Counter, 'device_eager_steps_total', 'Steps without a graph', (d) => d.eagerSteps],
  [Counter, 'device_prefill_tokens_total', 'Prompt tokens computed', (d) => d.prefillTokens],
  [Counter, 'device_decode_tokens_total', 'Tokens generated', (d) => d.decodeTokens],
  [Counter, 'device_padded_rows_total', 'Rows that filled a graph up', (d) => d.paddedRows],
  [Counter, 'device_preemptions_total', 'Sequences computed again', (d) => d.preemptions],
  [Counter, 'device_busy_seconds_total', 'Time spent on steps', (d) => d.busyMs / 1000],
  [Counter, 'device_idle_seconds_total', 'Time between two steps', (d) => d.idleMs / 1000],
];

export class EngineMetrics {
  #engine;
  #registry = new Registry();
  #ofEngine = this.#register(ENGINE, []);
  #ofDevice = this.#register(DEVICE, ['device']);

  constructor(engine) {
    this.#engine = engine;
  }

  get contentType() {
    return this.#registry.contentType;
  }

  /** The text of a scrape. */
  async read() {
    const snapshot = await this.#engine.metrics();
    this.#registry.resetMetrics();
    for (const { metric, measure } of this.#ofEngine) metric.inc(measure(snapshot));
    for (const { metric, measure } of this.#ofDevice) {
      for (const device of snapshot.devices) metric.inc({ device: device.device }, measure(device));
    }
    return this.#registry.metrics();
  }

  #register(table, labelNames) {
    return table.map(([Metric, name, help, measure]) => {
      const options = { name: `permafrost_${name}`, help, labelNames };
      return { metric: new Metric({ ...options, registers: [this.#registry] }), measure };
    });
  }
}
