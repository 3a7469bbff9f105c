import { ReusedList } from './reused-list.js';
import type { ScheduledRequest, Sequence } from './sequence.js';

/** What has happened since the last `clear`, whichever call brought it about. */
export class Effects {
  /** Requests that a device gets for the first time, with a step that `schedule` has given out. */
  readonly started: ScheduledRequest[] = [];
  /** Sequences that could come to a device if they had their mask. */
  readonly maskless: Sequence[] = [];
  /** Sequences of requests that tell tokens with a new one at their end; after two of them twice. */
  readonly advanced = new ReusedList<Sequence>();
  /** Sequences that ended with a reason. */
  readonly finished: Sequence[] = [];
  /** Requests that ended, each once: all choices have finished, or `error` says what failed. */
  readonly ended: ScheduledRequest[] = [];

  clear(): void {
    this.started.length = 0;
    this.maskless.length = 0;
    this.advanced.clear();
    this.finished.length = 0;
    this.ended.length = 0;
  }
}
