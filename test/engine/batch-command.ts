/** What the suites of `run-batch` share: inputs, the command as a process, and its outputs. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { type OutputRow, outputRowSchema } from '../../src/jobs/openai-response.js';
import { toShellCode } from './command-process.js';
import { CLI, TINY } from './engines.js';

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-run-batch-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function completionLine(id: string, body: object): string {
  return JSON.stringify({
    custom_id: id,
    method: 'POST',
    url: '/v1/completions',
    body: { model: 'tiny', temperature: 0, ...body },
  });
}

/** Good lines that take a while: row-0, row-1, … */
export function longLines(count: number, body: object): string {
  return Array.from(
    { length: count },
    (_, index) =>
      `${completionLine(`row-${index}`, { prompt: `${index}+1=`, ignore_eos: true, ...body })}\n`,
  ).join('');
}

export interface BatchCommand {
  readonly child: ChildProcess;
  readonly pid: number;
  /** What it wrote so far. */
  readonly stdout: () => Buffer;
  readonly stderr: () => string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** The same as a shell reports it: see {@link toShellCode}. */
  readonly shellCode: Promise<number | null>;
}

/** Starts `run-batch` on models/tiny. */
export function startBatch(args: readonly string[], stdin: 'ignore' | 'pipe' = 'ignore') {
  const child = spawn(
    process.execPath,
    [CLI, 'run-batch', '--model', TINY, '--devices', 'cpu', ...args],
    { stdio: [stdin, 'pipe', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  const command: BatchCommand = {
    child,
    pid: child.pid ?? -1,
    stdout: () => Buffer.concat(stdout),
    stderr: () => stderr,
    ended,
    shellCode: ended.then(toShellCode),
  };
  return command;
}

/** The rows of an output, checked against the schema of such files. */
export function readRows(path: string): OutputRow[] {
  return parseRows(readFileSync(path, 'utf8'));
}

export function parseRows(text: string): OutputRow[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line is not complete');
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => outputRowSchema.parse(JSON.parse(line)));
}

export function idsOf(rows: readonly OutputRow[]): string[] {
  return rows.map(({ custom_id }) => custom_id ?? 'none');
}

/** The lines of a file that are complete. */
export function completeBytes(path: string): Buffer {
  if (!existsSync(path)) return Buffer.alloc(0);
  const bytes = readFileSync(path);
  return bytes.subarray(0, bytes.lastIndexOf('\n') + 1);
}

/** Waits until a file has so many bytes, or the command has ended. */
export async function waitForBytes(
  path: string,
  sizeBytes: number,
  { child }: Pick<BatchCommand, 'child'>,
): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(path) && statSync(path).size >= sizeBytes) return;
    await sleep(20);
  }
}

/** The most memory that a process has had, in bytes: 0 when it has ended. */
export function peakRssBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
