/** Which devices a process is started on: one that costs the process its life again is left out. */

import type { LostDevice } from '../protocol/messages.js';
import type { DeviceChoice } from '../protocol/options.js';

export class DeviceRoster {
  #devices: DeviceChoice;
  /** Devices that cost a process its life, and have finished nothing since. */
  readonly #suspects = new Set<string>();
  readonly #leftOut = new Set<string>();

  /** @param devices As the options name them. */
  constructor(devices: DeviceChoice) {
    this.#devices = devices;
  }

  /** What the next process is started on. */
  get devices(): DeviceChoice {
    if (typeof this.#devices === 'string') return this.#devices;
    return this.#devices.filter((device) => !this.#leftOut.has(device));
  }

  /** The first start has told what 'auto' or 'cuda' stands for. */
  resolve(devices: readonly string[]): void {
    this.#devices = devices;
  }

  /**
   * A device has cost the process its life. When it did so before, with nothing finished on it
   * since, it is left out from now on, unless it is the last one.
   * @returns whether it is.
   */
  blame({ device, hasFinished }: LostDevice): boolean {
    const isRepeated = this.#suspects.has(device) && !hasFinished;
    this.#suspects.add(device);
    const isLast = typeof this.devices === 'string' || this.devices.length === 1;
    if (!isRepeated || isLast) return false;
    this.#leftOut.add(device);
    return true;
  }

  /** The losses were a request's doing: all devices are taken back. */
  clear(): void {
    this.#suspects.clear();
    this.#leftOut.clear();
  }
}
