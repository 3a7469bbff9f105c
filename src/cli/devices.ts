/** `permafrost devices`: what this machine has. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { writeStandardOutput } from '../jobs/standard-output.js';
import { isErrorCode, PermafrostError } from '../protocol/errors.js';
import type { DeviceListing } from '../protocol/messages.js';
import { StartError } from './exit-code.js';
import { formatBytes, tableLines } from './format.js';

/** A process of its own: the native addon is never loaded in this one. */
const ENTRY = new URL('../workers/list-devices.js', import.meta.url);

export function addDevices(program: Command): void {
  program
    .command('devices')
    .description('list the devices of this machine')
    .option('--json', 'the list as JSON')
    .action(async (flags: { readonly json?: boolean }) => {
      const listing = await listDevices();
      const text =
        flags.json === true ? JSON.stringify(listing, null, 2) : lines(listing).join('\n');
      await writeStandardOutput(`${text}\n`);
    });
}

async function listDevices(): Promise<DeviceListing> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  try {
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, [fileURLToPath(ENTRY)], { env });
    return JSON.parse(stdout) as DeviceListing;
  } catch (cause) {
    throw new StartError('no list of devices', { cause: errorOf(cause) });
  }
}

/** The entry writes an error record on standard output when it can. */
function errorOf(cause: unknown): unknown {
  try {
    const { code, message } = JSON.parse((cause as { stdout: string }).stdout);
    return isErrorCode(code) ? new PermafrostError(code, String(message)) : cause;
  } catch {
    return cause;
  }
}

function lines({ devices, cudaBuilt, cudaProblem }: DeviceListing): string[] {
  const table = tableLines(
    [
      { title: 'device', align: 'left' },
      { title: 'memory' },
      { title: 'free' },
      { title: 'name', align: 'left' },
    ],
    devices.map(({ device, name, totalBytes, freeBytes }) => [
      device,
      formatBytes(totalBytes),
      formatBytes(freeBytes),
      name,
    ]),
  );
  if (cudaProblem !== '') return [...table, '', `CUDA: ${cudaProblem}`];
  return cudaBuilt ? table : [...table, '', 'CUDA: the native addon was built without it'];
}
