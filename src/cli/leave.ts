/** The end of this process, which waits for nothing that may never come. */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { EXIT, type ExitCode } from './exit-code.js';
import type { StandardError } from './standard-error.js';

/** What the last words may take. */
const FLUSH_MS = 500;
/** What file calls that are under way may take. */
const FILE_CALLS_MS = 200;
const POLL_MS = 5;

/** The standard streams that are terminals. */
const TERMINALS = [0, 1, 2].filter((fd) => isatty(fd));

/** The signals by whose names shells know an exit code. */
const SIGNAL_OF: Readonly<Partial<Record<ExitCode, NodeJS.Signals>>> = {
  [EXIT.hungUp]: 'SIGHUP',
  [EXIT.interrupted]: 'SIGINT',
  [EXIT.terminated]: 'SIGTERM',
};

/**
 * Ends the process with a code, or by the signal that a shell reports as the same code, where an
 * ordinary exit is not possible: it waits for every file call in Node's threads, and one that blocks,
 * on a dead network mount say, would keep it for ever; and Node 20 crashes in it when its terminal has
 * hung up.
 */
export async function leave(code: ExitCode, standardError: StandardError): Promise<never> {
  await standardError.flush(FLUSH_MS);
  const isHungUp = TERMINALS.some((fd) => !isatty(fd));
  if (!isHungUp && (await areFileCallsOver())) process.exit(code);
  const signal = SIGNAL_OF[code] ?? (isHungUp ? 'SIGHUP' : 'SIGKILL');
  if (signal !== 'SIGKILL') process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // The signal is on its way.
  return new Promise(() => {});
}

async function areFileCallsOver(): Promise<boolean> {
  const endMs = performance.now() + FILE_CALLS_MS;
  for (;;) {
    if (!process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))) return true;
    if (performance.now() > endMs) return false;
    // Calls in quick succession leave gaps that a timer would miss.
    await nextTurn();
    if (performance.now() > endMs - FILE_CALLS_MS / 2) await sleep(POLL_MS);
  }
}
