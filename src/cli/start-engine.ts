/** Starts an engine for a command and shows how its start goes, on stderr. */

import { Engine } from '../host/engine.js';
import type { EngineOptions } from '../protocol/options.js';
import { createProgress } from './progress.js';
import { formatSeconds } from './table.js';

export async function startEngine(options: EngineOptions): Promise<Engine> {
  const progress = createProgress('starting');
  const captured = new Map<string, { done: number; total: number }>();
  try {
    const engine = await Engine.start({
      ...options,
      on: {
        device: (event) => {
          if (event.kind === 'phase') progress.update(0, null, `${event.device}: ${event.phase}`);
        },
        capture: ({ device, done, total, graph }) => {
          captured.set(device, { done, total });
          const all = [...captured.values()];
          progress.update(
            all.reduce((sum, entry) => sum + entry.done, 0),
            all.reduce((sum, entry) => sum + entry.total, 0),
            `graphs, ${device} batch ${graph.batchSize}`,
          );
        },
        warning: ({ message }) => console.error(`permafrost: ${message}`),
      },
    });
    const { totalMs, devices } = engine.startup;
    const graphs = devices.reduce((sum, { capture }) => sum + capture.graphs.length, 0);
    const names = devices.map(({ device }) => device).join(', ');
    progress.finish(`ready in ${formatSeconds(totalMs)}: ${graphs} graphs captured on ${names}`);
    return engine;
  } catch (error) {
    progress.stop();
    throw error;
  }
}
