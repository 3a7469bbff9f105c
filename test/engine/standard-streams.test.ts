/** Standard streams that are closed, full, or whose reader has left. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { longLines, readRows } from './batch-command.js';
import { ON_TINY, temporaryFolder } from './command-process.js';
import { CLI } from './engines.js';

/** `"$@"` is the command line's own name in front of `args`. */
function bash(script: string, args: readonly string[]) {
  const { status, stderr, stdout } = spawnSync(
    'bash',
    ['-c', script, 'bash', process.execPath, CLI, ...args],
    { encoding: 'utf8' },
  );
  return { status, stderr, stdout };
}

const COMMANDS: readonly (readonly string[])[] = [
  ['--help'],
  ['--version'],
  ['run-batch', '--help'],
  ['devices'],
  ['devices', '--json'],
  ['generate', ...ON_TINY, '1+1=', '--max-tokens', '4'],
  ['startup', ...ON_TINY],
  ['startup', ...ON_TINY, '--json'],
  ['bench', ...ON_TINY, '--num-seqs', '2', '--input-len', '8', '--output-len', '4', '--json'],
];

describe('results that can not be written', () => {
  test.each(COMMANDS)('to a full disk: %s %s', (...args) => {
    const { status, stderr } = bash('"$@" > /dev/full', args);
    expect(status).toBe(2);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
      /^permafrost: standard output: ENOSPC: .* \(ERR_FILE\)$/,
    );
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test('since their reader has left: an error, but for a help', () => {
    const startup = bash('set -o pipefail; "$@" | true', ['startup', ...ON_TINY, '--json']);
    expect(startup.status).toBe(2);
    expect(startup.stderr).toContain(
      'permafrost: standard output: nobody reads it any more (ERR_FILE)\n',
    );
    const help = bash('set -o pipefail; "$@" | true', ['--help']);
    expect(help).toMatchObject({ status: 0, stderr: '' });
  });

  test('but in part: what a quota leaves of a report is no success', () => {
    const file = join(temporaryFolder(), 'report.json');
    const script = `ulimit -f 1; "$@" > '${file}' 2> /dev/null`;
    const { status } = bash(script, ['startup', ...ON_TINY, '--json']);
    expect(status).toBe(2);
    expect(readFileSync(file).length).toBeLessThanOrEqual(1024);
  });

  test.each(['> /dev/full', '| true'])('rows: %s', (redirection) => {
    const input = join(temporaryFolder(), 'in.jsonl');
    writeFileSync(input, longLines(600, { max_tokens: 4 }));
    const { status, stderr } = bash(`set -o pipefail; "$@" ${redirection}`, [
      ...['run-batch', '-i', input, '-o', '-', ...ON_TINY],
    ]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^permafrost: standard output: .* \(ERR_FILE\)$/m);
    expect(stderr).not.toMatch(/^ +at /m);
  });
});

describe('news that can not be written are not worth a job', () => {
  test.each([
    ['a full disk', '"$@" 2> /dev/full'],
    ['a closed stream', '"$@" 2>&-'],
    ['all streams closed', '"$@" <&- >&- 2>&-'],
    ['a reader that has left', '"$@" 2> >(head -n 1 > /dev/null)'],
    [
      'a reader that never reads',
      'mkfifo "$P"; sleep 60 < "$P" & "$@" 2> "$P"; S=$?; kill %1; exit $S',
    ],
  ])('to %s', (_, script) => {
    const folder = temporaryFolder();
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    writeFileSync(input, longLines(600, { max_tokens: 8 }));
    const { status } = bash(`P='${folder}/pipe'; ${script}`, [
      ...['run-batch', '-i', input, '-o', output, ...ON_TINY],
    ]);
    expect(status).toBe(0);
    expect(readRows(output)).toHaveLength(600);
  });

  test.each([
    [['no-such-command'], 2],
    [['startup', '--model', '/nowhere'], 2],
    [['devices'], 0],
  ])('%j ends with %i all the same', (args, code) => {
    expect(bash('"$@" 2> /dev/full > /dev/null', args).status).toBe(code);
    expect(bash('"$@" 2>&- > /dev/null', args).status).toBe(code);
  });
});

test('on a terminal of 40 columns no line is wider, and a terminal that is not read stops nothing', () => {
  const folder = temporaryFolder();
  const input = join(folder, 'in.jsonl');
  writeFileSync(input, longLines(600, { max_tokens: 30 }));
  const run = (isRead: boolean, output: string) =>
    spawnSync(
      'python3',
      [
        ...['-c', TERMINAL, isRead ? 'read' : 'stalled', process.execPath, CLI],
        ...['run-batch', '-i', input, '-o', output, ...ON_TINY],
      ],
      { encoding: 'utf8', env: { ...process.env, TERM: 'xterm', CI: undefined } },
    );
  const { status, stdout } = run(true, join(folder, 'read.jsonl'));
  expect(status).toBe(0);
  const live = stdout.split(/\r|\n/).filter((line) => /^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/.test(line));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal is sent.
  const widths = live.map((line) => line.replaceAll(/\x1b\[\d*[A-Z]/g, '').length);
  expect(live.some((line) => /^. \d+\/600( rows)? {2}\d+ ?%/.test(line))).toBe(true);
  expect(Math.max(...widths)).toBeLessThan(40);

  expect(run(false, join(folder, 'stalled.jsonl')).status).toBe(0);
  expect(readRows(join(folder, 'stalled.jsonl'))).toHaveLength(600);
});

/** Runs a command on a terminal of 40 columns, whose buffer is full already where it is not read. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
main, side = pty.openpty()
fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 40, 0, 0))
if sys.argv[1] == 'stalled':
    flags = fcntl.fcntl(side, fcntl.F_GETFL)
    fcntl.fcntl(side, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True: os.write(side, b'x' * 64)
    except BlockingIOError: pass
    fcntl.fcntl(side, fcntl.F_SETFL, flags)
pid = os.fork()
if pid == 0:
    os.dup2(side, 2)
    os.execv(sys.argv[2], sys.argv[2:])
os.close(side)
try:
    while sys.argv[1] == 'read':
        piece = os.read(main, 4096)
        if not piece: break
        os.write(1, piece)
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
