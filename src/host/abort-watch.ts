/** Waits for abort signals. */

/** What to do, per signal: one listener each, since Node warns of a leak at eleven. */
const actions = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `action` when the signal aborts; at once when it has.
 * @returns stops waiting.
 */
export function onAbort(signal: AbortSignal | undefined, action: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    action();
    return () => {};
  }
  const watched = actions.get(signal) ?? watch(signal);
  // Its own function, so that the same action can wait twice.
  const run = () => action();
  watched.add(run);
  return () => {
    watched.delete(run);
  };
}

function watch(signal: AbortSignal): Set<() => void> {
  const watched = new Set<() => void>();
  actions.set(signal, watched);
  const run = () => {
    for (const action of [...watched]) action();
    watched.clear();
  };
  signal.addEventListener('abort', run, { once: true });
  return watched;
}
