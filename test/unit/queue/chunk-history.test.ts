import { describe, expect, test } from 'vitest';
import {
  type Attempt,
  isPoisoned,
  isSuspect,
  nextHistory,
} from '../../../src/queue/chunk-history.js';

/** The history of a chunk whose workers ended in these phases, one after another. */
function endedIn(...phases: Attempt['phase'][]) {
  let history = nextHistory(0);
  for (const phase of phases) history = nextHistory({ phase, ...history });
  return history;
}

describe('a chunk whose workers end', () => {
  test('is innocent at first, and when it was given back', () => {
    for (const history of [endedIn(), endedIn('waiting', 'waiting', 'waiting')]) {
      expect(history).toEqual({ deaths: 0, strikes: 0 });
      expect(isSuspect(history)).toBe(false);
    }
  });

  test('runs alone after one that had not finished a row, or after two', () => {
    expect(isSuspect(endedIn('started'))).toBe(true);
    expect(isSuspect(endedIn('moving'))).toBe(false);
    expect(isSuspect(endedIn('moving', 'moving'))).toBe(true);
  });

  test('is not tried again after three in a row that had not finished a row', () => {
    expect(isPoisoned(endedIn('started', 'started'))).toBe(false);
    expect(isPoisoned(endedIn('started', 'started', 'started'))).toBe(true);
    expect(isPoisoned(endedIn('started', 'waiting', 'started', 'started'))).toBe(true);
  });

  test('that moves on is tried again, but not for ever', () => {
    expect(isPoisoned(endedIn('started', 'started', 'moving', 'started', 'started'))).toBe(false);
    expect(isPoisoned(endedIn('moving', 'moving', 'moving', 'moving', 'moving'))).toBe(false);
    expect(isPoisoned(endedIn('moving', 'moving', 'moving', 'moving', 'moving', 'moving'))).toBe(
      true,
    );
  });

  test('has no history where something else is in its place', () => {
    for (const progress of [0, null, undefined, 'x', {}, { phase: 'started' }]) {
      expect(nextHistory(progress)).toEqual({ deaths: 0, strikes: 0 });
    }
  });
});
