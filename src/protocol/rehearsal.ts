/** What host and scheduler process agree on about rehearsing while an engine starts. */

const MIN_CORES = 4;

/** Whether there are cores to spare: with few, a rehearsal would delay the threads that load. */
export function canRehearse(numCores: number): boolean {
  return numCores >= MIN_CORES;
}
