/** Gives the tokens of log-probabilities their bytes, which the text pool knows. */

import type { ChoiceRecord } from '../protocol/messages.js';
import type { ChoiceLogprob, TokenLogprob } from '../protocol/requests.js';
import type { NamedRow, TextTasks, TokenNames } from '../protocol/text-jobs.js';
import { JobBatcher, type RowResult } from './job-batcher.js';

const MAX_NAMED_PER_JOB = 64;

type TokenName = Pick<TokenLogprob, 'bytes' | 'isSpecial'>;

const NO_NAME: TokenName = {};

/** Names all tokens of a request with one row of a job. */
export class TokenNaming {
  readonly #batcher: JobBatcher<Int32Array, NamedRow>;

  /** @param onJobDone Called after all results of a job have been handed out. */
  constructor(text: Pick<TextTasks, 'nameTokens'>, onJobDone: () => void) {
    this.#batcher = new JobBatcher<Int32Array, NamedRow>(
      { run: (rows) => text.nameTokens({ rows }), maxRowsPerJob: MAX_NAMED_PER_JOB },
      onJobDone,
    );
  }

  /** @param onResult Called once, on a later turn, with the choices of which every token is named. */
  name(
    choices: readonly ChoiceRecord[],
    onResult: (result: RowResult<{ readonly choices: readonly ChoiceRecord[] }>) => void,
  ): void {
    const tokenIds = idsOf(choices);
    this.#batcher.add(tokenIds, (row) => {
      if ('error' in row) {
        onResult(row);
        return;
      }
      const names = namesOf(tokenIds, row);
      onResult({ choices: choices.map((choice) => withNames(choice, names)) });
    });
  }
}

/** Each id once. */
function idsOf(choices: readonly ChoiceRecord[]): Int32Array {
  const ids = new Set<number>();
  for (const { logprobs = [] } of choices) {
    for (const { tokenId, top } of logprobs) {
      ids.add(tokenId);
      for (const alternative of top) ids.add(alternative.tokenId);
    }
  }
  return Int32Array.from(ids);
}

function namesOf(tokenIds: Int32Array, named: TokenNames): ReadonlyMap<number, TokenName> {
  const names = new Map<number, TokenName>();
  let start = 0;
  for (const [index, id] of tokenIds.entries()) {
    const end = named.ends[index] ?? start;
    const bytes = Array.from(named.bytes.subarray(start, end));
    if (end > start) {
      names.set(id, named.isSpecial[index] === 1 ? { bytes, isSpecial: true } : { bytes });
    }
    start = end;
  }
  return names;
}

function withNames(choice: ChoiceRecord, names: ReadonlyMap<number, TokenName>): ChoiceRecord {
  const { logprobs } = choice;
  if (logprobs === undefined) return choice;
  const named = (token: TokenLogprob) => ({ ...token, ...(names.get(token.tokenId) ?? NO_NAME) });
  const nameAll = (entry: ChoiceLogprob) => ({ ...named(entry), top: entry.top.map(named) });
  return { ...choice, logprobs: logprobs.map(nameAll) };
}
