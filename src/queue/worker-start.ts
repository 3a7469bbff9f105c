/** The start of a worker: its connection, and where it finds what is large. */

import { findJobOrigin } from '../jobs/model-origin.js';
import { checkStore } from './chunk-store.js';
import { QueueConnection } from './queue-connection.js';
import { QueueWorker } from './queue-worker.js';
import type { QueueEngine, WorkSettings, WorkSummary } from './work-options.js';

/** The connection of a worker, which tells of its outages. */
export async function openForWork({ address, onEvent }: WorkSettings): Promise<QueueConnection> {
  const connection = await QueueConnection.open(address, {
    lost: (reason) => onEvent({ kind: 'outage', reason }),
    restored: () => onEvent({ kind: 'restored' }),
  });
  for (const message of connection.warnings) onEvent({ kind: 'warning', message });
  return connection;
}

/** Works over a connection that is open already. */
export async function workConnected(
  engine: QueueEngine,
  settings: WorkSettings,
  connection: QueueConnection,
): Promise<WorkSummary> {
  const storeHere = settings.store === null ? null : await checkStore(settings.store);
  const origin = await findJobOrigin(engine);
  return new QueueWorker({ connection, engine, origin, settings, storeHere }).run();
}
