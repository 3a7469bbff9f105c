/** The options that the commands of a queue share. */

import type { Command } from 'commander';
import { PermafrostError } from '../protocol/errors.js';

/** A queue named by the environment needs no flag, and its password no argument. */
const QUEUE_VARIABLE = 'PERMAFROST_QUEUE';

export function addQueueFlag(command: Command): Command {
  return command.option(
    '-q, --queue <url>',
    `redis://[user:password@]host[:port]/name (default: ${QUEUE_VARIABLE} of the environment)`,
  );
}

export function addJobFlag(command: Command): Command {
  return command.option('-j, --job <name>', "the job's name (default: after the input file)");
}

/** @throws ERR_BAD_OPTION when neither the flag nor the environment names a queue. */
export function queueOf({ queue }: { readonly queue?: string }): string {
  const url = queue ?? process.env[QUEUE_VARIABLE] ?? '';
  if (url !== '') return url;
  throw new PermafrostError(
    'ERR_BAD_OPTION',
    `--queue: must be given, as redis://host/name, or ${QUEUE_VARIABLE} be set`,
  );
}

/** Flags that are not given are left out: an option that is there with undefined would be one more case. */
export function given<Flags extends object>(flags: Flags, names: readonly (keyof Flags)[]) {
  return Object.fromEntries(
    names.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
  );
}
