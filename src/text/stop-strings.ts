/** Stop strings in a growing text. Positions count UTF-16 code units, as JavaScript strings do. */

/** Where a stop string lies in a text. */
export interface StopMatch {
  readonly stopIndex: number;
  readonly start: number;
  /** First position after it. */
  readonly end: number;
}

/**
 * Finds the stop string that is complete first, and among those that end together the longest.
 * That makes the answer a function of the text alone: however the text was cut into tokens and
 * chunks, the same stop is found at the same place.
 *
 * @param seenLength One that ends in so much of the text's beginning does not count.
 */
export function findStop(text: string, stops: readonly string[], seenLength = 0): StopMatch | null {
  let best: StopMatch | null = null;
  for (const [stopIndex, stop] of stops.entries()) {
    if (stop === '') continue;
    const start = text.indexOf(stop, Math.max(0, seenLength - stop.length + 1));
    if (start < 0) continue;
    const end = start + stop.length;
    if (best === null || end < best.end || (end === best.end && start < best.start)) {
      best = { stopIndex, start, end };
    }
  }
  return best;
}

/**
 * How much of a text without a stop string can be given out: all but the longest ending that
 * more text could complete to a stop string.
 */
export function safeLength(text: string, stops: readonly string[]): number {
  let held = 0;
  for (const stop of stops) {
    const longest = Math.min(stop.length - 1, text.length);
    for (let length = longest; length > held; length--) {
      if (text.endsWith(stop.slice(0, length))) {
        held = length;
        break;
      }
    }
  }
  return text.length - held;
}
