// `run-batch` as a process, and the memory of it and of its scheduler process.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LineCounter } from './files.js';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const MODEL = fileURLToPath(new URL('../../models/tiny', import.meta.url));

/** Starts a job; `ended` gives its exit code or signal, and its summary when it came to one. */
export function startBatch({ input, output, maxInflight, maxNumSeqs, resume = false }) {
  const args = ['run-batch', '-i', input, '-o', output, '--model', MODEL, '--devices', 'cpu'];
  args.push('--max-inflight', String(maxInflight), '--max-num-seqs', String(maxNumSeqs), '--json');
  if (resume) args.push('--resume');
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ end: signal ?? code, summary: stdout === '' ? null : JSON.parse(stdout), stderr });
    });
  });
  return { child, ended };
}

function readStatus(pid, field) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  } catch {
    // It has ended.
    return 0;
  }
}

function childrenOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}

/**
 * What a job has done and the most memory its processes have had by then, every now and then until
 * `stop` is called: `{ rows, ms, hostBytes, schedulerBytes }`.
 */
export function watchJob(pid, output, intervalMs = 50) {
  const started = performance.now();
  const rows = new LineCounter(output);
  const peaks = { hostBytes: 0, schedulerBytes: 0 };
  const samples = [];
  const sample = () => {
    peaks.hostBytes = Math.max(peaks.hostBytes, readStatus(pid, 'VmHWM'));
    for (const child of childrenOf(pid)) {
      peaks.schedulerBytes = Math.max(peaks.schedulerBytes, readStatus(child, 'VmHWM'));
    }
    samples.push({ rows: rows.count(), ms: performance.now() - started, ...peaks });
  };
  const timer = setInterval(sample, intervalMs);
  return {
    samples,
    stop() {
      clearInterval(timer);
      sample();
      rows.close();
    },
  };
}
