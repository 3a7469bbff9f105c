/** What a chunk has done to the workers that had it, and when that is enough. */

import * as z from 'zod';

/**
 * How far a worker has got with a chunk, kept as the progress of its BullMQ job. `waiting`: none of its
 * rows was given to the engine, or the worker gave it back; `started`: they were, and none is finished;
 * `moving`: one is.
 */
const attemptSchema = z.object({
  phase: z.enum(['waiting', 'started', 'moving']),
  deaths: z.int().min(0),
  strikes: z.int().min(0),
});

export type Attempt = z.output<typeof attemptSchema>;

/** Of the attempts before this one. */
export type History = Omit<Attempt, 'phase'>;

/** Workers that died one after another before they had finished a row of it. */
const MAX_STRIKES = 3;
/** Workers that died with it, however far they had got. */
const MAX_DEATHS = 6;

/**
 * The history with which a chunk comes to its next worker. That it comes at all says that the last one
 * did not get to its end.
 */
export function nextHistory(progress: unknown): History {
  const read = attemptSchema.safeParse(progress);
  // BullMQ's own start is 0.
  if (!read.success) return { deaths: 0, strikes: 0 };
  const { phase, deaths, strikes } = read.data;
  switch (phase) {
    case 'waiting':
      return { deaths, strikes };
    case 'started':
      return { deaths: deaths + 1, strikes: strikes + 1 };
    case 'moving':
      return { deaths: deaths + 1, strikes: 0 };
  }
}

/**
 * Whether a chunk has to run alone on its worker: so it takes no other one down with it, and what
 * happens next says something about it.
 */
export function isSuspect({ deaths, strikes }: History): boolean {
  return strikes >= 1 || deaths >= 2;
}

/** Whether a chunk must not be tried again. */
export function isPoisoned({ deaths, strikes }: History): boolean {
  return strikes >= MAX_STRIKES || deaths >= MAX_DEATHS;
}
