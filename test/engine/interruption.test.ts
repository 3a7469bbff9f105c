/** How a command ends at a signal, whatever it waits for at that moment. */

import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { idsOf, longLines, readRows, waitForBytes } from './batch-command.js';
import {
  namedPipe,
  ON_TINY,
  type RunningCommand,
  startCommand,
  temporaryFolder,
} from './command-process.js';
import { CLI } from './engines.js';

const READY = 'collect ';
const NOTICE = 'the rows that run get 10 s to finish';
const AGAIN = 'interrupted again: stopped at once';

function inputOf(lines: string): string {
  const path = join(temporaryFolder(), 'in.jsonl');
  writeFileSync(path, lines);
  return path;
}

const fewRows = () => inputOf(longLines(4, { max_tokens: 4 }));
const newOutput = () => join(temporaryFolder(), 'out.jsonl');

/** Keeps a pipe's other side open, and says nothing. */
function holdOpen(pipe: string): void {
  const fd = openSync(pipe, constants.O_RDWR);
  onTestFinished(() => closeSync(fd));
}

/** A job with rows that are written, and others that run. */
async function startLongJob() {
  const [input, output] = [inputOf(longLines(4000, { max_tokens: 100 })), newOutput()];
  const args = ['run-batch', '-i', input, '-o', output, '--max-inflight', '32', ...ON_TINY];
  const command = startCommand(args);
  await waitForBytes(output, 1, command);
  return { command, output };
}

/** The processes that a process has started. */
function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return list === '' ? [] : list.split(' ').map(Number);
}

describe('Ctrl-C again stops at once, with 130 and a line', () => {
  const states: Record<string, () => RunningCommand> = {
    'while the input is a pipe that nobody writes to': () =>
      startCommand(['run-batch', '-i', namedPipe(), '-o', newOutput(), ...ON_TINY]),
    'while the input is a pipe whose writer is silent': () => {
      const pipe = namedPipe();
      holdOpen(pipe);
      return startCommand(['run-batch', '-i', pipe, '-o', newOutput(), ...ON_TINY]);
    },
    'while the output is a pipe that nobody reads': () =>
      startCommand(['run-batch', '-i', fewRows(), '-o', namedPipe(), ...ON_TINY]),
    'while the output is a pipe whose reader is idle': () => {
      const pipe = namedPipe();
      holdOpen(pipe);
      const input = inputOf(longLines(600, { max_tokens: 8 }));
      return startCommand(['run-batch', '-i', input, '-o', pipe, ...ON_TINY]);
    },
    'while standard output is full': () => {
      const input = inputOf(longLines(600, { max_tokens: 8 }));
      const args = ['run-batch', '-i', input, '-o', '-', ...ON_TINY];
      return startCommand(args, { stdout: 'stalled' });
    },
    'while rows run': () => {
      const input = inputOf(longLines(4000, { max_tokens: 400 }));
      return startCommand(['run-batch', '-i', input, '-o', newOutput(), ...ON_TINY]);
    },
  };

  test.each(Object.keys(states))('%s', async (state) => {
    const command = states[state]?.();
    if (command === undefined) throw new Error('no such state');
    await command.says(READY);
    command.child.kill('SIGINT');
    // What has nothing to wait for may end at the first.
    await Promise.race([command.says(NOTICE), command.ended]).catch(() => {});
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toMatch(/interrupted.*\n/);
  });

  test('after the first has said what happens', async () => {
    const input = inputOf(longLines(4000, { max_tokens: 400 }));
    const command = startCommand(['run-batch', '-i', input, '-o', newOutput(), ...ON_TINY]);
    await command.says(READY);
    command.child.kill('SIGINT');
    await command.says(NOTICE);
    command.child.kill('SIGINT');
    await command.says(AGAIN);
    expect(await command.shellCode).toBe(130);
  });
});

describe('the first signal', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends an engine that starts at once, with %i and a line', async (signal, code) => {
    const output = newOutput();
    const command = startCommand(['run-batch', '-i', fewRows(), '-o', output, ...ON_TINY]);
    await command.says('Loading');
    command.child.kill(signal);
    expect(await command.shellCode).toBe(code);
    expect(command.stderr()).toMatch(/^interrupted$/m);
  });

  test('ends a job at once whose input nobody writes, and the output can be resumed', async () => {
    const output = newOutput();
    const command = startCommand(['run-batch', '-i', namedPipe(), '-o', output, ...ON_TINY]);
    await command.says(READY);
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toContain('run again with --resume');
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)(
    '%s lets what runs finish, as Ctrl-C does, and ends with %i',
    async (signal, code) => {
      const { command, output } = await startLongJob();
      command.child.kill(signal);
      expect(await command.shellCode).toBe(code);
      expect(command.stderr()).toContain('run again with --resume');
      expect(command.stderr()).not.toContain('unfinished');
      expect(readRows(output).length).toBeGreaterThan(0);
    },
  );

  test('sent to every process of the job, as systemd does, leaves the scheduler its grace', async () => {
    const { command, output } = await startLongJob();
    const pid = command.child.pid ?? -1;
    const children = childrenOf(pid);
    expect(children).not.toEqual([]);
    for (const one of [...children, pid]) process.kill(one, 'SIGTERM');
    expect(await command.shellCode).toBe(143);
    expect(command.stderr()).not.toMatch(/lost|unfinished/);
    expect(readRows(output).length).toBeGreaterThan(0);
  });

  test('a hang-up after a termination is no second Ctrl-C', async () => {
    const { command } = await startLongJob();
    command.child.kill('SIGTERM');
    await command.says(NOTICE);
    command.child.kill('SIGHUP');
    expect(await command.shellCode).toBe(143);
    expect(command.stderr()).toContain('run again with --resume');
    expect(command.stderr()).not.toContain('unfinished');
  });

  test('ends a command whose engine does not close', async () => {
    const args = ['run-batch', '-i', '-', '-o', newOutput(), ...ON_TINY];
    const command = startCommand(args, { stdin: 'pipe' });
    await command.says(READY);
    for (const child of childrenOf(command.child.pid ?? -1)) {
      process.kill(child, 'SIGSTOP');
      onTestFinished(() => endProcess(child));
    }
    command.child.stdin?.end();
    await command.says('results: ');
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toMatch(/^interrupted$/m);
  });

  test('of a terminal that hangs up lets what runs finish', () => {
    const [input, output] = [inputOf(longLines(4000, { max_tokens: 100 })), newOutput()];
    const { status, stderr } = spawnSync(
      'python3',
      [
        ...['-c', TERMINAL_THAT_HANGS_UP, output, process.execPath, CLI],
        ...['run-batch', '-i', input, '-o', output, '--max-inflight', '32', ...ON_TINY],
      ],
      { encoding: 'utf8', env: { ...process.env, TERM: 'xterm', CI: undefined } },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(readRows(output).length).toBeGreaterThanOrEqual(32);
  });

  test('ends a command whose terminal takes nothing of its results', () => {
    const input = inputOf(longLines(600, { max_tokens: 8 }));
    const { status, stderr } = spawnSync(
      'python3',
      [
        ...['-c', TERMINAL_THAT_IS_FULL, process.execPath, CLI],
        ...['run-batch', '-i', input, '-o', '-', ...ON_TINY],
      ],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  test('ends the text of generate, with a line', async () => {
    const args = ['generate', ...ON_TINY, 'x', '--max-tokens', '500', '--temperature', '1'];
    const command = startCommand(args, { stdout: 'stalled' });
    await command.says('100 %');
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toMatch(/^interrupted/m);
  });
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Runs a command whose results go to a terminal that is never read, and ends it twice by SIGTERM. */
const TERMINAL_THAT_IS_FULL = `
import os, pty, signal, subprocess, sys
main, side = pty.openpty()
command = subprocess.Popen(sys.argv[1:], stdout=side, stderr=subprocess.PIPE)
says = lambda words: next(line for line in command.stderr if words in line)
says(b'collect ')
command.send_signal(signal.SIGTERM)
says(b'get 10 s to finish')
command.send_signal(signal.SIGTERM)
code = command.wait()
sys.exit(0 if code in (-signal.SIGTERM, 128 + signal.SIGTERM) else f'ended with {code}')
`;

/** Runs a command on a terminal, hangs up at its first rows, and fails when it ends but by SIGHUP. */
const TERMINAL_THAT_HANGS_UP = `
import os, pty, signal, sys
pid, main = pty.fork()
if pid == 0: os.execv(sys.argv[2], sys.argv[2:])
def has_rows():
    return os.path.exists(sys.argv[1]) and os.path.getsize(sys.argv[1]) > 0
while not has_rows(): os.read(main, 4096)
os.close(main)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(0 if code in (-signal.SIGHUP, 128 + signal.SIGHUP) else f'ended with {code}')
`;

test('pipes are read until their last writer leaves, and written for whoever reads', async () => {
  const [input, output] = [namedPipe(), namedPipe()];
  const command = startCommand(['run-batch', '-i', input, '-o', output, ...ON_TINY]);
  const shell = startShell('cat "$0" > "$2" & cat "$3" > "$1"; wait', [
    ...[output, input, join(output, '..', 'rows.jsonl'), fewRows()],
  ]);
  expect(await command.ended).toBe(0);
  expect(await shell).toBe(0);
  const ids = idsOf(readRows(join(output, '..', 'rows.jsonl')));
  expect(ids.sort()).toEqual(['row-0', 'row-1', 'row-2', 'row-3']);
});

async function startShell(script: string, args: readonly string[]): Promise<number | null> {
  const { spawn } = await import('node:child_process');
  const child = spawn('sh', ['-c', script, ...args], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return new Promise((resolve) => child.on('exit', resolve));
}
