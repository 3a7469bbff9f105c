// Where and when a result was measured.

import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function git(...args) {
  return execFileSync('git', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] })
    .toString()
    .trim();
}

/** The NVIDIA devices of the machine with their driver; none without a driver. */
function nvidiaDevices() {
  try {
    return execFileSync(
      'nvidia-smi',
      ['--query-gpu=name,driver_version', '--format=csv,noheader'],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
      .toString()
      .trim()
      .split('\n')
      .map((line) => {
        const [name, driver] = line.split(', ');
        return { name, driver };
      });
  } catch {
    return [];
  }
}

/** The commit, marked when tracked files differ from it; null outside a checkout. */
function currentCommit() {
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', '--short=12', 'HEAD') + (changed ? '+changes' : '');
  } catch {
    return null;
  }
}

export function describeEnvironment() {
  return {
    date: new Date().toISOString(),
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: availableParallelism(),
    gpus: nvidiaDevices(),
    // Where the checkout's history is not at hand, whoever runs the bench may say what it is.
    commit: process.env.PERMAFROST_COMMIT ?? currentCommit(),
    // Of the last minute, before the bench began: how alone it was.
    loadBefore: loadavg()[0],
  };
}
