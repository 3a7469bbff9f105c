/** Which worker drives which device, and what becomes of a device that loses its worker. Pure. */

import { PermafrostError } from '../protocol/errors.js';
import type { DeviceWorker } from './device-worker.js';

/** Losses in a row after which a device is left out when others go on, and when it is the last. */
const MAX_LOSSES = { ofMany: 1, ofLast: 2 } as const;

interface Seat {
  readonly device: string;
  /** null while there is none that is ready. */
  worker: DeviceWorker | null;
  state: 'ready' | 'starting' | 'left-out';
  /** A request has finished on it since it became ready. */
  hasFinished: boolean;
  /** Without a request finishing in between. */
  lossesInRow: number;
}

/** `starting`: a new worker is to be started. `left-out`: the others go on. `last`: none is left. */
export type Verdict = 'starting' | 'left-out' | 'last';

export class DeviceFleet {
  readonly #seats: readonly Seat[];

  /** @param workers By device index; all ready. */
  constructor(workers: readonly DeviceWorker[]) {
    this.#seats = workers.map((worker) => ({
      device: worker.device,
      worker,
      state: 'ready',
      hasFinished: false,
      lossesInRow: 0,
    }));
  }

  /** By device index. */
  get deviceNames(): readonly string[] {
    return this.#seats.map(({ device }) => device);
  }

  /** Those that are ready. */
  get workers(): readonly DeviceWorker[] {
    return this.#seats.flatMap(({ worker }) => (worker === null ? [] : [worker]));
  }

  /** -1: it drives no device any more. */
  indexOf(worker: DeviceWorker): number {
    return this.#seats.findIndex((seat) => seat.worker === worker);
  }

  /** @throws ERR_INTERNAL when the device has none. */
  worker(deviceIndex: number): DeviceWorker {
    const { worker, device } = this.#seat(deviceIndex);
    if (worker === null) throw new PermafrostError('ERR_INTERNAL', `${device} has no worker`);
    return worker;
  }

  hasFinished(deviceIndex: number): boolean {
    return this.#seat(deviceIndex).hasFinished;
  }

  /** A request has finished on the device. */
  noteFinished(deviceIndex: number): void {
    const seat = this.#seat(deviceIndex);
    seat.hasFinished = true;
    seat.lossesInRow = 0;
  }

  /**
   * A device has lost its worker. A loss that is a request's doing is not held against it.
   * @returns what is to be done.
   */
  lose(deviceIndex: number, isRequestsDoing: boolean): Verdict {
    const seat = this.#seat(deviceIndex);
    seat.worker = null;
    seat.hasFinished = false;
    if (isRequestsDoing) seat.lossesInRow = 0;
    else seat.lossesInRow++;
    const hasOthers = this.#seats.some((other) => other !== seat && other.state !== 'left-out');
    if (seat.lossesInRow > (hasOthers ? MAX_LOSSES.ofMany : MAX_LOSSES.ofLast)) {
      return this.leaveOut(deviceIndex);
    }
    seat.state = 'starting';
    return 'starting';
  }

  /** A new worker of the device is ready. */
  restore(deviceIndex: number, worker: DeviceWorker): void {
    const seat = this.#seat(deviceIndex);
    seat.worker = worker;
    seat.state = 'ready';
  }

  leaveOut(deviceIndex: number): Verdict {
    this.#seat(deviceIndex).state = 'left-out';
    return this.#seats.every(({ state }) => state === 'left-out') ? 'last' : 'left-out';
  }

  /** Devices that were left out get another chance: a request was to blame. */
  forgive(): number[] {
    const forgiven: number[] = [];
    for (const [deviceIndex, seat] of this.#seats.entries()) {
      if (seat.state !== 'left-out') continue;
      seat.state = 'starting';
      seat.lossesInRow = 0;
      forgiven.push(deviceIndex);
    }
    return forgiven;
  }

  #seat(deviceIndex: number): Seat {
    const seat = this.#seats[deviceIndex];
    if (seat === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `there is no device ${deviceIndex}`);
    }
    return seat;
  }
}
