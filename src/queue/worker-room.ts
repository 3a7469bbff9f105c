/** How much work a worker takes: what keeps its devices full, and little more. */

import type { DeviceMetrics } from '../protocol/report.js';

export type DeviceRoom = Pick<DeviceMetrics, 'numSlots' | 'runningSequences' | 'waitingSequences'>;

/** Without devices to look at. */
const DEFAULT_ROWS = 512;
/** Of the slots: what waits to take the places of sequences that end. */
const RESERVE = 1 / 8;

/** Decides when another chunk is taken. Pure. */
export class WorkerRoom {
  readonly #isFixed: boolean;
  /** Sequences with which the devices are full. */
  #capacity: number;

  /** @param maxRows the caller's limit; null: what the devices say. */
  constructor(maxRows: number | null) {
    this.#isFixed = maxRows !== null;
    this.#capacity = maxRows ?? DEFAULT_ROWS;
  }

  /** Takes what the devices hold now. */
  observe(devices: readonly DeviceRoom[]): void {
    if (this.#isFixed || devices.length === 0) return;
    const sum = (name: keyof DeviceRoom) =>
      devices.reduce((total, device) => total + device[name], 0);
    const [slots, running] = [sum('numSlots'), sum('runningSequences')];
    const reserve = Math.ceil(slots * RESERVE);
    // Slots that stay free while sequences wait are ones for which the KV cache has no blocks.
    const isMemoryFull = running > 0 && sum('waitingSequences') >= reserve && running < slots;
    this.#capacity = (isMemoryFull ? running : slots) + reserve;
  }

  hasRoom(openSequences: number): boolean {
    return openSequences < this.#capacity;
  }
}
