/** Ctrl-C: once to finish what runs, twice to stop at once. */

import { EXIT } from './exit-code.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export interface Interruption extends Disposable {
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal;
}

/** From now on the first signal calls `onFirst` and the second one ends the process. */
export function watchInterruption(onFirst: () => void): Interruption {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    onFirst();
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, interrupt);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of SIGNALS) process.off(name, interrupt);
    },
  };
}
