// The programs in examples/, each as a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DatabaseSync } from '@photostructure/sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';

type Database = InstanceType<typeof DatabaseSync>;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A program that runs, and the lines that it prints. */
class Program {
  readonly #child;
  readonly #lines: AsyncIterator<string>;
  readonly ended: Promise<number | NodeJS.Signals | null>;

  constructor(name: string, { args = [], env = {} }: { args?: string[]; env?: object } = {}) {
    // Devices are 'auto' in the examples: the suite needs none but the CPU.
    this.#child = spawn(process.execPath, [join(ROOT, 'examples', name), ...args], {
      cwd: ROOT,
      env: { ...process.env, CUDA_VISIBLE_DEVICES: '', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void this.#child.kill('SIGKILL'));
    this.ended = once(this.#child, 'close').then(([code, signal]) => signal ?? code);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line, or null behind the last one. */
  async line(): Promise<string | null> {
    const { done, value } = await this.#lines.next();
    return done ? null : value;
  }

  async remainingLines(): Promise<string[]> {
    const lines = [];
    for (let line = await this.line(); line !== null; line = await this.line()) lines.push(line);
    return lines;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

test('the script answers its three questions', async () => {
  const script = new Program('script.js');
  expect((await script.remainingLines()).sort()).toEqual([
    '17+25= 42',
    'reverse planet = tenalp',
    'sort 41 7 300 12 = 7 12 41 300',
  ]);
  expect(await script.ended).toBe(0);
});

describe('the server', () => {
  const ENDLESS = { prompt: '17+25=', maxTokens: 480, ignoreEos: true };

  async function startServer() {
    const program = new Program('server/main.js', { env: { PORT: '0' } });
    const [, url = ''] = (await program.line())?.match(/^listening on (http:\S+)$/) ?? [];
    expect(url).not.toBe('');
    return { program, url };
  }

  function generate(url: string, body: object, signal?: AbortSignal): Promise<Response> {
    return fetch(`${url}/generate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  }

  interface Event {
    readonly choice: number;
    readonly text: string;
    readonly finishReason?: string;
  }

  async function* eventsOf(response: Response): AsyncGenerator<Event> {
    let pending = '';
    for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(
      new TextDecoderStream(),
    )) {
      const events = (pending + chunk).split('\n\n');
      pending = events.pop() ?? '';
      for (const event of events) yield JSON.parse(event.replace(/^data: /, '')) as Event;
    }
    expect(pending).toBe('');
  }

  /** Values by name and labels; every metric must have a type and a help text. */
  async function readMetrics(url: string): Promise<Map<string, number>> {
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    const values = new Map<string, number>();
    for (const [, sample = '', name = '', value] of text.matchAll(/^((\w+)\S*) (\S+)$/gm)) {
      const kind = name.endsWith('_total') ? 'counter' : 'gauge';
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'));
      expect(text).toMatch(new RegExp(`^# TYPE ${name} ${kind}$`, 'm'));
      expect(name).toMatch(/^permafrost_[a-z_]+$/);
      values.set(sample, Number(value));
    }
    return values;
  }

  test('streams an answer piece by piece, counts it, and ends at SIGTERM with 0', async () => {
    const { program, url } = await startServer();
    const response = await generate(url, { prompt: 'reverse planet =' });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = [];
    for await (const event of eventsOf(response)) events.push(event);
    expect(events.length).toBeGreaterThan(1);
    expect(events.map(({ text }) => text).join('')).toBe('tenalp');
    expect(events.at(-1)?.finishReason).toBe('stop');

    const metrics = await readMetrics(url);
    expect(Object.fromEntries(metrics)).toMatchObject({
      permafrost_queued_requests: 0,
      permafrost_running_requests: 0,
      permafrost_finished_requests_total: 1,
      permafrost_failed_requests_total: 0,
      'permafrost_device_slots{device="cpu:0"}': 32,
      'permafrost_device_running_sequences{device="cpu:0"}': 0,
    });
    expect(metrics.get('permafrost_completion_tokens_total')).toBeGreaterThan(1);
    expect(metrics.get('permafrost_device_busy_seconds_total{device="cpu:0"}')).toBeGreaterThan(0);
    // A second reading sets the counters, and does not add to them.
    expect((await readMetrics(url)).get('permafrost_finished_requests_total')).toBe(1);

    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  });

  test('ends the request of a client that hangs up', async () => {
    const { program, url } = await startServer();
    const client = new AbortController();
    const response = await generate(url, { ...ENDLESS, n: 32 }, client.signal);
    const first = await eventsOf(response).next();
    expect(first.value).toMatchObject({ choice: expect.any(Number) });
    client.abort();
    let metrics = await readMetrics(url);
    while (metrics.get('permafrost_running_requests') !== 0) metrics = await readMetrics(url);
    expect(metrics.get('permafrost_device_decode_tokens_total{device="cpu:0"}')).toBeLessThan(
      32 * ENDLESS.maxTokens,
    );
    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  });

  test('lets an answer under way finish after SIGTERM', async () => {
    const { program, url } = await startServer();
    const events = eventsOf(await generate(url, ENDLESS));
    await events.next();
    program.kill('SIGTERM');
    const rest = [];
    for await (const event of events) rest.push(event);
    expect(rest.at(-1)).toMatchObject({ finishReason: 'length' });
    expect(await program.ended).toBe(0);
  });

  test('tells a client what is wrong with its request', async () => {
    const { program, url } = await startServer();
    for (const [body, code] of [
      [{}, 'FST_ERR_VALIDATION'],
      [{ prompt: 'x', temperature: -1 }, 'ERR_BAD_REQUEST'],
      [{ prompt: '1'.repeat(600) }, 'ERR_PROMPT_TOO_LONG'],
    ] as const) {
      const response = await generate(url, body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code });
    }
    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  });
});

describe('the table', () => {
  interface Task {
    readonly id: number;
    readonly prompt: string;
    readonly answer: string | null;
    readonly error: string | null;
  }

  function tableFile(): string {
    const folder = mkdtempSync(join(tmpdir(), 'permafrost-sqlite-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    return join(folder, 'tasks.db');
  }

  function withTable<Result>(path: string, use: (db: Database) => Result): Result {
    const db = new DatabaseSync(path);
    try {
      return use(db);
    } finally {
      db.close();
    }
  }

  const readTasks = (path: string) =>
    withTable(path, (db) => db.prepare('SELECT * FROM tasks ORDER BY id').all() as Task[]);

  test('is made with sums and gets an answer in every row', async () => {
    const path = tableFile();
    const job = new Program('sqlite.js', { args: [path] });
    expect((await job.remainingLines()).at(-1)).toBe('200 answered, 0 failed');
    expect(await job.ended).toBe(0);
    const tasks = readTasks(path);
    expect(tasks).toHaveLength(200);
    const numRight = tasks.filter(({ prompt, answer }) => {
      const [a, b] = prompt.slice(0, -1).split('+').map(Number);
      return Number(answer) === (a ?? 0) + (b ?? 0);
    }).length;
    expect(numRight).toBeGreaterThanOrEqual(190);
  });

  test('keeps its answers when the job is killed, and the next run takes only the others', async () => {
    const path = tableFile();
    const numRows = 3000;
    withTable(path, (db) => {
      db.exec(
        'CREATE TABLE tasks (id INTEGER PRIMARY KEY, prompt TEXT NOT NULL, answer TEXT, error TEXT)',
      );
      const insert = db.prepare('INSERT INTO tasks (prompt) VALUES (?)');
      db.exec('BEGIN');
      for (let row = 1; row < numRows; row++) insert.run(`${row}+1=`);
      insert.run('1'.repeat(600));
      db.exec('COMMIT');
    });
    const killed = new Program('sqlite.js', { args: [path] });
    expect(await killed.line()).toBe('100 rows');
    killed.kill('SIGKILL');
    expect(await killed.ended).toBe('SIGKILL');
    // What is answered gets a mark, which no second answer would leave alone.
    const numKept = withTable(path, (db) => {
      db.exec("UPDATE tasks SET answer = 'kept' WHERE answer IS NOT NULL");
      return readTasks(path).filter(({ answer }) => answer === 'kept').length;
    });
    expect(numKept).toBeGreaterThanOrEqual(100);
    expect(numKept).toBeLessThan(numRows - 1);

    const resumed = new Program('sqlite.js', { args: [path] });
    const summary = `${numRows - 1 - numKept} answered, 1 failed`;
    expect((await resumed.remainingLines()).at(-1)).toBe(summary);
    expect(await resumed.ended).toBe(0);
    const tasks = readTasks(path);
    expect(tasks.filter(({ answer }) => answer === 'kept')).toHaveLength(numKept);
    expect(tasks.filter(({ answer }) => answer === null)).toEqual([
      { id: numRows, prompt: expect.any(String), answer: null, error: expect.any(String) },
    ]);

    const again = new Program('sqlite.js', { args: [path] });
    expect(await again.remainingLines()).toEqual(['0 answered, 1 failed']);
    expect(await again.ended).toBe(0);
  });
});
