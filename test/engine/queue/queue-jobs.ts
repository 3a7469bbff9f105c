/** What the suites of a queue share: inputs, workers on stand-in engines, and what came of a job. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { completionLine, readRows, temporaryFolder } from '../batch-command.js';

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));

/** Files of a job with so many rows; `promptOf` says what is in them. */
export function jobFiles(
  numRows: number,
  { maxTokens = 20, promptOf = (row: number) => `prompt ${row}` } = {},
) {
  const folder = temporaryFolder();
  const files = {
    folder,
    input: join(folder, 'in.jsonl'),
    output: join(folder, 'out.jsonl'),
    log: join(folder, 'workers.log'),
    numRows,
  };
  const lines = Array.from(
    { length: numRows },
    (_, row) =>
      `${completionLine(`row-${row}`, { prompt: promptOf(row), max_tokens: maxTokens })}\n`,
  );
  writeFileSync(files.input, lines.join(''));
  writeFileSync(files.log, '');
  return files;
}

export interface WorkerOptions {
  readonly queue: string;
  readonly log: string;
  readonly slots?: number;
  readonly stepMs?: number;
  readonly lockMs?: number;
  readonly drainMs?: number;
  readonly untilEmpty?: boolean;
  readonly store?: string;
}

export interface RunningWorker {
  readonly child: ChildProcess;
  /** What it said last: its summary or its error. */
  readonly ended: Promise<{ readonly end: number | NodeJS.Signals | null; readonly said: unknown }>;
}

export function startWorker(options: WorkerOptions): RunningWorker {
  const settings = { slots: 8, stepMs: 5, lockMs: 1500, ...options };
  const child = spawn(process.execPath, [WORKER, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let last = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = line;
  });
  const ended = new Promise<Awaited<RunningWorker['ended']>>((resolve) => {
    child.on('close', (code, signal) =>
      resolve({ end: signal ?? code, said: last.startsWith('{') ? JSON.parse(last) : null }),
    );
  });
  return { child, ended };
}

/** The lines that the workers have logged so far. */
export function logOf(log: string): string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
}

/** Waits until the log has what is looked for. */
export async function untilLog(
  log: string,
  isThere: (lines: readonly string[]) => boolean,
): Promise<void> {
  while (!isThere(logOf(log))) await sleep(10);
}

export const numRowsIn = (lines: readonly string[]) =>
  lines.filter((line) => line.startsWith('row ')).length;

/** Every row is in the output once, with the stand-in's answer to its prompt. */
export function expectEachOnce(
  { output, numRows }: { readonly output: string; readonly numRows: number },
  promptOf = (row: number) => `prompt ${row}`,
): void {
  const rows = readRows(output);
  const answers = new Map(
    rows.map(({ custom_id, response }) => {
      const choice = response?.body.choices[0];
      return [custom_id, choice !== undefined && 'text' in choice ? choice.text : null] as const;
    }),
  );
  expect(rows).toHaveLength(numRows);
  expect(answers.size).toBe(numRows);
  for (let row = 0; row < numRows; row++) {
    expect(answers.get(`row-${row}`)).toBe([...promptOf(row)].reverse().join(''));
  }
}

/**
 * No row was computed again once its chunk was complete. Rows that were, since their worker ended with
 * their chunk unfinished, are counted.
 */
export function countRepeated(lines: readonly string[], chunkRows: number): number {
  const done = new Set<number>();
  const computed = new Set<string>();
  let repeated = 0;
  for (const line of lines) {
    const [kind, ...rest] = line.split(' ');
    if (kind === 'done') {
      const first = Number(/lines (\d+)-/.exec(line)?.[1]);
      done.add(Math.floor((first - 1) / chunkRows));
    }
    if (kind !== 'row') continue;
    const id = rest.join(' ');
    const chunk = Math.floor(Number(id.replace('row-', '')) / chunkRows);
    expect(done.has(chunk), `${id} was computed after its chunk was complete`).toBe(false);
    if (computed.has(id)) repeated++;
    computed.add(id);
  }
  return repeated;
}
