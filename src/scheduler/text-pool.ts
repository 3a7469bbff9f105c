import type { TextTasks } from '../protocol/text-jobs.js';

/** The text pool as the engine process sees it; on real threads it is in pools/. */
export interface TextPool extends TextTasks {
  /** Ends the threads. */
  destroy(): Promise<void>;
}
