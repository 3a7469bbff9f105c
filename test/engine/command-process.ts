/** The command line as a process that tests can stop in any state. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { CLI, TINY } from './engines.js';

export const ON_TINY = ['--model', TINY, '--devices', 'cpu'];

export interface RunningCommand {
  readonly child: ChildProcess;
  /** Resolves when standard error has this. */
  readonly says: (words: string) => Promise<void>;
  readonly stderr: () => string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /**
   * As a shell reports it: 128 and the number of a signal that ended it. A command that a signal has
   * ended ends by it where an exit would have to wait for a file.
   */
  readonly shellCode: Promise<number | null>;
}

interface StartOptions {
  readonly stdin?: 'ignore' | 'pipe';
  /** 'stalled': a pipe that nobody reads. */
  readonly stdout?: 'ignore' | 'stalled';
}

/** Starts a command whose standard error is read. */
export function startCommand(
  args: readonly string[],
  { stdin = 'ignore', stdout = 'ignore' }: StartOptions = {},
): RunningCommand {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: [stdin, stdout === 'stalled' ? 'pipe' : 'ignore', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  const watchers = new Set<() => void>();
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const watch of watchers) watch();
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on('exit', (code, signal) => resolve(signal ?? code));
  });
  const says = (words: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const watch = () => {
        if (!stderr.includes(words)) return;
        watchers.delete(watch);
        resolve();
      };
      watchers.add(watch);
      void ended.then((end) =>
        reject(new Error(`ended with ${end}, not said: ${words}\n${stderr}`)),
      );
      watch();
    });
  return { child, says, stderr: () => stderr, ended, shellCode: ended.then(toShellCode) };
}

/** A folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-command-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A named pipe that nobody has opened. */
export function namedPipe(): string {
  const path = join(temporaryFolder(), 'pipe.jsonl');
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
  return path;
}

/** What a shell says of how a process ended. */
export function toShellCode(end: number | NodeJS.Signals | null): number | null {
  return typeof end === 'string' ? 128 + constants.signals[end] : end;
}
