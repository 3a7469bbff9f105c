/** The files of a job: looked at and held, before its engine is there and before any is changed. */

import { stat } from 'node:fs/promises';
import { PermafrostError } from '../protocol/errors.js';
import { fileError } from './file-error.js';
import { isReadableTwice } from './input-lines.js';
import { findFileProblem } from './input-problem.js';
import { checkInputPath, checkPaths, isGzip, nameOfInput, STANDARD_STREAM } from './job-paths.js';
import type { JobInput, JobOutput, JobSettings } from './job-settings.js';
import { hasContent, Journal } from './journal.js';
import type { LineParser } from './line-parser.js';
import type { Mismatches } from './mismatches.js';
import { compareRequests } from './other-requests.js';
import { OutputLocks } from './output-locks.js';
import { RemoteOutputs } from './remote/remote-outputs.js';
import { isRemote } from './remote/remote-url.js';

export class JobFiles implements AsyncDisposable {
  readonly #remote: RemoteOutputs;
  readonly #locks: OutputLocks;

  private constructor(remote: RemoteOutputs, locks: OutputLocks) {
    this.#remote = remote;
    this.#locks = locks;
  }

  /**
   * Makes sure that the job can begin, and that its outputs are nobody else's until it ends.
   *
   * @throws ERR_FILE when another job has an output, when one has content that the options say
   *   nothing of, or when a file can't be used; ERR_BAD_OPTION when an output can't be resumed.
   */
  static async hold(settings: JobSettings): Promise<JobFiles> {
    const remote = await RemoteOutputs.open(settings);
    const { input, output, outputErrors, mode, isStrict } = remote.settings;
    const errors = outputErrors === null ? {} : { outputErrors };
    await checkPaths({ input, output, ...errors, resume: mode === 'resume' });
    if (isStrict && !(await isReadableTwice(input))) {
      throw new PermafrostError(
        'ERR_BAD_OPTION',
        `resume: 'strict' reads the input twice, which ${nameOfInput(input)} can't be; give a file`,
      );
    }
    await checkInputStart(input);
    const outputs = outputErrors === null ? [output] : [output, outputErrors];
    const locks = await OutputLocks.take(outputs.filter(isPath));
    const files = new JobFiles(remote, locks);
    try {
      await remote.prepare(mode);
      if (mode === 'new') for (const one of outputs) await checkEmpty(one);
    } catch (error) {
      await files.close();
      throw error;
    }
    return files;
  }

  /** Aborts when the outputs are not the job's any more, with the error to tell as its reason. */
  get lost(): AbortSignal {
    return this.#locks.lost;
  }

  /**
   * @param parser Reads lines.
   * @param mismatches Where kept rows are counted that were made from something else.
   * @throws ERR_FILE
   */
  openJournal(parser: LineParser, mismatches: Mismatches): Promise<Journal> {
    const { input, output, outputErrors, mode, isStrict, maxLineBytes } = this.#remote.settings;
    return Journal.open({
      output,
      ...(outputErrors !== null && { outputErrors }),
      resume: mode === 'resume',
      mustBeNew: mode === 'new',
      parser,
      mismatches,
      ...(isStrict && {
        approve: async (ledger) => {
          await compareRequests({ input, maxLineBytes, parser, ledger, mismatches });
          mismatches.refuse();
        },
      }),
    });
  }

  /** Brings outputs that are URLs there, as far as they have come. @throws ERR_FILE */
  upload(): Promise<void> {
    return this.#remote.upload();
  }

  /** Gives the outputs free. Idempotent. */
  close(): Promise<void> {
    return this.#locks.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @throws ERR_FILE when an input can't be read, or is not text of our kind. */
export async function checkInput(input: JobInput): Promise<void> {
  await checkInputPath(input);
  await checkInputStart(input);
}

async function checkInputStart(input: JobInput): Promise<void> {
  if (typeof input !== 'string' || input === STANDARD_STREAM || isRemote(input)) return;
  const problem = await findFileProblem(input, isGzip(input));
  if (problem !== null) throw fileError(input, problem);
}

function isPath(output: JobOutput): output is string {
  return typeof output === 'string' && output !== STANDARD_STREAM;
}

/** @throws ERR_FILE when a regular file has content. */
async function checkEmpty(output: JobOutput): Promise<void> {
  if (!isPath(output)) return;
  const found = await stat(output).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw fileError(output, cause);
  });
  if (found?.isFile() === true && found.size > 0) throw hasContent(output);
}
