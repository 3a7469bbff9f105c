// Memory of this process and of the scheduler process over time.

import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const PAGE_BYTES = 4096;
const MIB = 2 ** 20;
/** What a process may gain from the third to the fourth quarter: a tenth, and some slack. */
const MAX_RATIO = 1.1;
const SLACK_MIB = { host: 24, heap: 6, scheduler: 24 };
const MIN_SAMPLES = 8;
/** Of the table. */
const ROWS = 12;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

function residentMib(pid) {
  try {
    return (Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES) / MIB;
  } catch {
    return null; // It is gone, and the next sample finds another one.
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export class MemoryLog {
  #startMs;
  /** { atMs, pid, host, heap, scheduler } in MiB. */
  #samples = [];

  constructor(startMs) {
    this.#startMs = startMs;
  }

  /** @param pid Of the scheduler process; null = there is none now. */
  sample(pid) {
    const scheduler = pid === null ? null : residentMib(pid);
    if (scheduler === null) return;
    // What is garbage is no growth.
    collect();
    const { rss, heapUsed } = process.memoryUsage();
    const atMs = performance.now();
    this.#samples.push({ atMs, pid, host: rss / MIB, heap: heapUsed / MIB, scheduler });
  }

  /** Whether there is enough of one process since `calmMs`, when the last kill was over. */
  canTell(calmMs) {
    return this.#calm(calmMs).length >= MIN_SAMPLES;
  }

  /** What grew since `calmMs`; sentences. */
  growth(calmMs) {
    if (!this.canTell(calmMs)) return [];
    const calm = this.#calm(calmMs);
    // Caches fill after a restart: the first quarter of the calm is left out.
    const settled = calm.slice(Math.floor(calm.length / 4));
    const half = Math.floor(settled.length / 2);
    return Object.keys(SLACK_MIB).flatMap((what) => {
      const before = mean(settled.slice(0, half).map((sample) => sample[what]));
      const after = mean(settled.slice(half).map((sample) => sample[what]));
      return after <= before * MAX_RATIO + SLACK_MIB[what]
        ? []
        : [`the memory of the ${what} grew from ${before.toFixed(0)} to ${after.toFixed(0)} MiB`];
    });
  }

  #calm(calmMs) {
    const last = this.#samples.at(-1)?.pid;
    return this.#samples.filter(({ atMs, pid }) => atMs >= calmMs && pid === last);
  }

  table() {
    const step = Math.max(1, Math.ceil(this.#samples.length / ROWS));
    const rows = this.#samples.filter((_, index) => index % step === 0);
    const cell = (value) => value.toFixed(0).padStart(10);
    return [
      '         s   host MiB   heap MiB  scheduler MiB',
      ...rows.map(({ atMs, host, heap, scheduler }) =>
        [(atMs - this.#startMs) / 1000, host, heap, scheduler].map(cell).join(' '),
      ),
    ].join('\n');
  }
}
