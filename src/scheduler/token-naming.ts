/** Finds out what the tokens of log-probabilities are called, which the text pool knows. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { logprobStride } from '../protocol/logprob-words.js';
import type { ChoiceRecord, NamedTokens } from '../protocol/messages.js';
import type { NamedRow, TextTasks } from '../protocol/text-jobs.js';
import { JobBatcher, type RowResult } from './job-batcher.js';

const MAX_NAMED_PER_JOB = 64;
/** A large vocabulary is named in several rows. */
const MAX_IDS_PER_ROW = 4096;
/** Ids looked at in one turn of the event loop: about a millisecond's work. */
const MAX_IDS_PER_TURN = 1 << 15;

type Names = RowResult<{ readonly names: readonly NamedTokens[] }>;

/** Names all tokens of a request, each once; a few thousand of them with one row of a job. */
export class TokenNaming {
  readonly #batcher: JobBatcher<Int32Array, NamedRow>;

  /** @param onJobDone Called after all results of a job have been handed out. */
  constructor(text: Pick<TextTasks, 'nameTokens'>, onJobDone: () => void) {
    this.#batcher = new JobBatcher<Int32Array, NamedRow>(
      { run: (rows) => text.nameTokens({ rows }), maxRowsPerJob: MAX_NAMED_PER_JOB },
      onJobDone,
    );
  }

  /**
   * @param width Of the choices' log-probabilities.
   * @param onResult Called once, on a later turn; must not throw.
   */
  name(choices: readonly ChoiceRecord[], width: number, onResult: (names: Names) => void): void {
    void this.#name(choices, width).then(onResult);
  }

  async #name(choices: readonly ChoiceRecord[], width: number): Promise<Names> {
    const tokenIds = await idsOf(choices, width);
    const lists: Int32Array[] = [];
    // Of no tokens there is one list too: so every request takes the same way.
    for (let start = 0; start === 0 || start < tokenIds.length; start += MAX_IDS_PER_ROW) {
      lists.push(tokenIds.slice(start, start + MAX_IDS_PER_ROW));
    }
    const rows = await Promise.all(lists.map((list) => this.#nameList(list)));
    const failed = rows.find((row) => 'error' in row);
    if (failed !== undefined) return failed;
    return { names: rows.filter((row) => 'tokenIds' in row) };
  }

  #nameList(tokenIds: Int32Array): Promise<RowResult<NamedTokens>> {
    return new Promise((resolve) => {
      this.#batcher.add(tokenIds, (row) => {
        resolve('error' in row ? row : { tokenIds, ...row });
      });
    });
  }
}

/** Each id once. Looks at a bounded number of them in a turn. */
async function idsOf(choices: readonly ChoiceRecord[], width: number): Promise<Int32Array> {
  const stride = logprobStride(width);
  const ids = new Set<number>();
  let numSeen = 0;
  for (const { tokenIds, logprobWords = tokenIds.subarray(0, 0) } of choices) {
    for (let token = 0; token < tokenIds.length; token++) {
      ids.add(tokenIds[token] ?? -1);
      const first = token * stride + 1;
      for (let at = first; at < first + width; at++) ids.add(logprobWords[at] ?? -1);
      numSeen += 1 + width;
      if (numSeen < MAX_IDS_PER_TURN) continue;
      numSeen = 0;
      await nextTurn();
    }
  }
  ids.delete(-1);
  return Int32Array.from(ids);
}
