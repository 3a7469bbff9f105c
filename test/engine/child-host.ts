/** Hosts in a process of their own, for what can't be done to the one that runs the tests. */

import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { DIST, TINY } from './engines.js';

export interface HostOptions {
  /** A line of the shell before the host starts, such as `ulimit -n 64`. */
  readonly before?: string;
  readonly node?: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface HostEnd {
  readonly code: number | null;
  /** What it said, in order. */
  readonly said: readonly unknown[];
  readonly stderr: string;
}

const PRELUDE = `
import fs from 'node:fs';
import { Engine } from ${JSON.stringify(new URL('index.js', DIST).href)};
const MODEL = ${JSON.stringify(TINY)};
const ANSWER = { temperature: 0, maxTokens: 8 };
const start = (options) => Engine.start({ model: MODEL, devices: ['cpu'], ...options });
const say = (value) => fs.writeSync(1, JSON.stringify(value) + '\\n');
const children = () => fs.readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8')
  .trim().split(' ').filter((pid) => pid !== '').map(Number);
const killScheduler = () => process.kill(children().at(-1), 'SIGKILL');
const failure = (promise) => promise.then(
  () => 'no error',
  ({ name, code, message }) => ({ name, code, message }),
);
const takeAllDescriptors = () => {
  const taken = [];
  for (;;) {
    try {
      taken.push(fs.openSync('/dev/null'));
    } catch {
      return taken;
    }
  }
};
`;

/** The text of a host: `say` gives a line to the test, the rest is above. */
export function hostScript(body: string): string {
  return PRELUDE + body;
}

/** Runs a host to its end. */
export async function runHost(body: string, options: HostOptions = {}): Promise<HostEnd> {
  const { before = ':', node = process.execPath, flags = [], env = {}, cwd } = options;
  const args = [...flags, '--input-type=module', '-e', hostScript(body)];
  const host = spawn('/bin/bash', ['-c', `${before}\nexec "$0" "$@"`, node, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const exited = new Promise<number | null>((resolve) => host.once('exit', resolve));
  const [code, stdout, stderr] = await Promise.all([exited, text(host.stdout), text(host.stderr)]);
  const said = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
  return { code, said, stderr };
}
