/** `permafrost work`: a thin skin on workOnQueue. */

import type { Command } from 'commander';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { checkWorkOptions, type WorkEvent, type WorkOptions } from '../queue/work-options.js';
import { openForWork, workConnected } from '../queue/worker-start.js';
import { parseCount } from './arguments.js';
import type { CommandContext } from './command.js';
import {
  addEngineFlags,
  checkEngineFlags,
  type EngineFlags,
  engineOptions,
  inFlags,
} from './engine-flags.js';
import { EXIT, type ExitCode } from './exit-code.js';
import { formatCount } from './format.js';
import { withEngine } from './open-engine.js';
import type { ProgressDisplay } from './progress.js';
import { countParts, paceParts } from './progress-line.js';
import { addQueueFlag, given, queueOf } from './queue-flags.js';

const GRACE = {
  notice:
    'interrupted: rows that run get 10 s to finish, the others go back into the queue; Ctrl-C again stops at once',
  limitMs: 20_000,
};

interface WorkFlags extends EngineFlags {
  readonly queue?: string;
  readonly maxInflight?: number;
  readonly lockMs?: number;
  readonly untilEmpty?: boolean;
  readonly store?: string;
  readonly json?: boolean;
}

export function addWork(program: Command, context: CommandContext): void {
  const command = program
    .command('work')
    .description('run rows of a queue on the devices of this machine')
    .option(
      '--max-inflight <n>',
      'takes more rows while fewer sequences are in the engine (default: what keeps its devices full)',
      parseCount,
    )
    .option(
      '--lock-ms <n>',
      'after this long without a word, its rows go to another machine (default: 30000)',
      parseCount,
    )
    .option('--until-empty', 'end when all rows are finished, instead of waiting for more')
    .option('--store <dir>', 'where this machine has the folder that jobs were submitted with')
    .option('--json', 'print the summary as JSON on stdout');
  addEngineFlags(addQueueFlag(command)).action(async (flags: WorkFlags) =>
    context.end(await work(flags, context)),
  );
}

async function work(
  flags: WorkFlags,
  { progress, interruption }: CommandContext,
): Promise<ExitCode> {
  const options: WorkOptions = {
    queue: queueOf(flags),
    ...given(flags, ['maxInflight', 'lockMs', 'untilEmpty', 'store']),
  };
  inFlags(() => checkWorkOptions(options));
  await checkEngineFlags(flags);
  const tally = new WorkTally(progress);
  const settings = checkWorkOptions({
    ...options,
    signal: interruption.signal,
    onEvent: (event: WorkEvent) => tally.take(event),
  });
  // The engine takes a while to start: a queue that can't be reached is told of before.
  await using connection = await openForWork(settings);
  return await withEngine(engineOptions(flags), progress, async (engine) => {
    using _ = interruption.graceful(GRACE);
    using _show = tally.show();
    const summary = await workConnected(engine, settings, connection);
    progress.stop();
    const { chunks, rows, failedRows, givenBack } = summary;
    const back = givenBack > 0 ? `, ${formatCount(givenBack)} chunks given back` : '';
    progress.say(
      `${formatCount(rows)} rows in ${formatCount(chunks)} chunks, ${formatCount(failedRows)} failed${back}`,
    );
    if (flags.json === true) await writeStandardOutput(`${JSON.stringify(summary)}\n`);
    return interruption.signal.aborted ? interruption.exitCode : EXIT.ok;
  });
}

/** Counts what is done, and says what is out of the ordinary. */
class WorkTally {
  readonly #progress: ProgressDisplay;
  #startMs = performance.now();
  #rows = 0;
  #failed = 0;

  constructor(progress: ProgressDisplay) {
    this.#progress = progress;
  }

  take(event: WorkEvent): void {
    switch (event.kind) {
      case 'chunk':
        this.#rows += event.numRows;
        this.#failed += event.numFailed;
        break;
      case 'taken-away':
        this.#progress.say(
          `${event.label}: taken away, since this worker said nothing for too long; another has them`,
        );
        break;
      case 'given-back':
        this.#progress.say(`${event.label}: given back`);
        break;
      case 'poisoned':
        this.#progress.say(
          `${event.label}: get error rows, since worker after worker ended with them (ERR_POISONED)`,
        );
        break;
      case 'outage':
        this.#progress.say(`warning: the queue is not reachable: ${event.reason}; waiting for it`);
        break;
      case 'restored':
        this.#progress.say('the queue is reachable again');
        break;
      case 'warning':
        this.#progress.say(`warning: ${event.message}`);
        break;
    }
  }

  /** Shows the count until this is disposed of. */
  show(): Disposable {
    this.#startMs = performance.now();
    const timer = setInterval(() => {
      const seconds = (performance.now() - this.#startMs) / 1000;
      const failed = this.#failed > 0 ? [`${formatCount(this.#failed)} failed`] : [];
      this.#progress.show({
        parts: [
          ...countParts({ done: this.#rows, total: null, unit: 'rows' }),
          ...paceParts(this.#rows / seconds, 'rows', null),
          { forms: failed },
        ],
      });
    }, this.#progress.intervalMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}
