/** An engine for a command: its start shown, its end certain. */

import { Engine } from '../host/engine.js';
import { findModel } from '../hub/find-model.js';
import { PermafrostError } from '../protocol/errors.js';
import type { EngineOptions } from '../protocol/options.js';
import type { RestartEvent } from '../protocol/report.js';
import { DownloadDisplay } from './download-display.js';
import { withFlagNames } from './engine-flags.js';
import { StartError, UsageError } from './exit-code.js';
import { formatCount, formatMs } from './format.js';
import type { ProgressDisplay } from './progress.js';
import { countParts } from './progress-line.js';

/**
 * Starts an engine and shows how that goes.
 * @throws StartError with the reason as its cause; UsageError when there is no such model.
 */
async function openEngine(options: EngineOptions, progress: ProgressDisplay): Promise<Engine> {
  const captured = new Map<string, { done: number; total: number }>();
  const loading = (note: string) =>
    progress.show({
      parts: [{ forms: ['Loading model', 'Loading'] }, { forms: note === '' ? [] : [note] }],
    });
  try {
    const model = await new DownloadDisplay(progress).around((onProgress) =>
      findModel(options.model, { env: process.env, onProgress }),
    );
    loading('');
    return await Engine.start({
      ...options,
      model,
      on: {
        device: (event) => {
          if (event.kind === 'phase' && captured.size === 0) {
            loading(`${event.device}: ${event.phase}`);
          }
          if (event.kind === 'lost') progress.say(event.message);
        },
        capture: ({ device, done, total, graph }) => {
          captured.set(device, { done, total });
          const counts = [...captured.values()];
          const sum = {
            done: counts.reduce((sum, count) => sum + count.done, 0),
            total: counts.reduce((sum, count) => sum + count.total, 0),
          };
          progress.show({
            parts: [
              ...countParts({ ...sum, unit: 'graphs' }),
              { forms: [`${device} batch ${graph.batchSize}`] },
            ],
            isComplete: sum.done === sum.total,
          });
        },
        restart: (event) => progress.say(restartLine(event)),
        warning: ({ message }) => progress.say(`warning: ${withFlagNames(message)}`),
      },
    });
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new StartError('the engine could not start', { cause: inWordsOfFlags(cause) });
  } finally {
    progress.stop();
  }
}

/** An error of the start, which names options as the API does. */
function inWordsOfFlags(cause: unknown): unknown {
  if (!(cause instanceof PermafrostError)) return cause;
  return new PermafrostError(cause.code, withFlagNames(cause.message), { cause });
}

/** What a person is told of a restart. */
function restartLine({ reason, attempt, delayMs, openRequests }: RestartEvent): string {
  const again = attempt === 1 ? 'it is started again' : `restart ${attempt} in a row`;
  const when = delayMs > 0 ? ` in ${formatMs(delayMs)}` : '';
  return (
    `the scheduler process is lost: ${reason}; ${again}${when}, ` +
    `${formatCount(openRequests)} open requests go on`
  );
}

/** Runs `use` with an engine, and closes it whatever comes of that. */
export async function withEngine<Result>(
  options: EngineOptions,
  progress: ProgressDisplay,
  use: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = await openEngine(options, progress);
  try {
    return await use(engine);
  } finally {
    progress.stop();
    await engine.close();
  }
}
