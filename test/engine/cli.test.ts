import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { StartupReport } from '../../src/index.js';
import { CLI, Engine, runBatchFile, TINY } from './engines.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function permafrost(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const ON_TINY = ['--model', TINY, '--devices', 'cpu'];

function line(id: string, body: object, changes: object = {}): string {
  return JSON.stringify({
    custom_id: id,
    method: 'POST',
    url: '/v1/completions',
    body: { model: 'tiny', max_tokens: 16, temperature: 0, ...body },
    ...changes,
  });
}

/** A job with two good rows, a blank line and five bad ones. */
const INPUT = [
  line('good', { prompt: '17+25=' }),
  '{not json',
  '',
  line('url', { prompt: '1+1=' }, { url: '/v1/embeddings' }),
  line('type', { prompt: 42 }),
  line('long', { prompt: '1'.repeat(600) }),
  line('tools', { prompt: '1+1=', tools: [{ type: 'function' }] }),
  line('also-good', { prompt: '905-17=' }),
].join('\n');

interface OutputRow {
  readonly custom_id: string | null;
  readonly response: { body: { choices: { text: string }[] } } | null;
  readonly error: { code: string; line: number } | null;
}

function readOutput(path: string): OutputRow[] {
  const rows = readFileSync(path, 'utf8').trim().split('\n');
  return rows.map((row) => JSON.parse(row) as OutputRow);
}

function expectRows(rows: readonly OutputRow[]): void {
  expect(rows).toHaveLength(7);
  const text = (id: string) =>
    rows.find((row) => row.custom_id === id)?.response?.body.choices[0]?.text;
  expect(text('good')).toBe('42');
  expect(text('also-good')).toBe('888');
  const errors = rows.flatMap(({ error }) => (error === null ? [] : [error]));
  expect(errors.map((error) => error.line).sort((a, b) => a - b)).toEqual([2, 4, 5, 6, 7]);
  for (const { code } of errors) expect(code).toMatch(/^ERR_/);
}

describe('run-batch', () => {
  test('writes a row for every line, good or bad, and exits with 1', () => {
    const input = join(folder, 'in.jsonl');
    const output = join(folder, 'out.jsonl');
    writeFileSync(input, INPUT);
    const { status, stderr } = permafrost('run-batch', '-i', input, '-o', output, ...ON_TINY);
    expect(status).toBe(1);
    expect(stderr).toContain('ERR_BAD_LINE');
    expectRows(readOutput(output));
  });

  test('is the library call runBatchFile', async () => {
    const input = join(folder, 'library.jsonl');
    const output = join(folder, 'library-out.jsonl');
    writeFileSync(input, INPUT);
    await using engine = await Engine.start({ model: TINY, devices: ['cpu'] });
    const summary = await runBatchFile(engine, { input, output });
    expect(summary).toMatchObject({ total: 7, succeeded: 2, failed: 5, unfinished: 0 });
    expectRows(readOutput(output));
  });

  test('exits with 0 when every row is good, and resumes without running any again', () => {
    const input = join(folder, 'fine.jsonl');
    const output = join(folder, 'fine-out.jsonl');
    writeFileSync(input, `${line('a', { prompt: '17+25=' })}\n${line('b', { prompt: '1+1=' })}\n`);
    expect(permafrost('run-batch', '-i', input, '-o', output, ...ON_TINY).status).toBe(0);
    const before = readFileSync(output, 'utf8');
    const again = permafrost('run-batch', '-i', input, '-o', output, '--resume', ...ON_TINY);
    expect(again.status).toBe(0);
    expect(readFileSync(output, 'utf8')).toBe(before);
  });
});

test('startup --json prints the report alone, under the chosen policy', () => {
  const { status, stdout } = permafrost(
    ...['startup', ...ON_TINY, '--json', '--gc-policy', 'collect-every:2'],
    ...['--capture-sizes', '1,2,4,8'],
  );
  expect(status).toBe(0);
  const report = JSON.parse(stdout) as StartupReport;
  expect(report.devices[0]?.capture.policy).toEqual({ collectEvery: 2 });
  expect(report.devices[0]?.capture.frozen).toBe(false);
  expect(report.devices[0]?.capture.graphs.map(({ batchSize }) => batchSize)).toEqual([8, 4, 2, 1]);
});

test('PERMAFROST_ENABLE_CUDAGRAPH_GC makes collect-per-graph the default; a policy wins', () => {
  const run = (...args: string[]) => {
    const { stdout } = spawnSync(
      process.execPath,
      [CLI, 'startup', ...ON_TINY, '--json', ...args],
      {
        encoding: 'utf8',
        env: { ...process.env, PERMAFROST_ENABLE_CUDAGRAPH_GC: '1' },
      },
    );
    return (JSON.parse(stdout) as StartupReport).devices[0]?.capture;
  };
  const perGraph = run();
  expect(perGraph?.policy).toBe('collect-per-graph');
  expect(perGraph?.gcEvents.length).toBeGreaterThanOrEqual(perGraph?.graphs.length ?? 99);
  expect(run('--gc-policy', 'frozen')?.policy).toBe('frozen');
});

test('generate prints the text alone on stdout', () => {
  const { status, stdout } = permafrost(
    ...['generate', ...ON_TINY, '17+25=', '--max-tokens', '8', '--temperature', '0'],
  );
  expect({ status, stdout }).toEqual({ status: 0, stdout: '42\n' });
});

describe('bench', () => {
  const args = ['bench', ...ON_TINY, '--num-seqs', '8', '--input-len', '16', '--output-len', '5:9'];

  test('counts the tokens that it asked for, and tells what each graph was good for', () => {
    const { status, stdout } = permafrost(...args, '--json');
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.promptTokens).toBe(128);
    const [device] = report.devices;
    // Without what ran to warm up, all of which draws 32 tokens.
    expect(device.decodeTokens).toBe(report.completionTokens - 8);
    expect(device.idleMs).toBeGreaterThan(0);
    const sizes = device.graphs.map(({ batchSize }: { batchSize: number }) => batchSize);
    expect(sizes).toEqual([1, 2, 4, 8, 16, 32]);
    expect(device.graphs[3].replays).toBeGreaterThan(0);
    expect(device.graphs[5].replays).toBe(0);
  });

  test('prints the waste by padding, and which sizes paid off', () => {
    const { status, stdout } = permafrost(...args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/idle [\d.]+ m?s/);
    expect(stdout).toMatch(/padded rows, [\d.]+ % of all decoded/);
    expect(stdout).toMatch(/graph +capture +replays +padded rows +spared rows/);
    expect(stdout).toMatch(/never replayed, .* of capture: (\d+, )*16, 32/);
  });

  test('cuts the lengths of its defaults to the context of the model, and says so', () => {
    const { status, stdout, stderr } = permafrost(
      ...['bench', ...ON_TINY, '--num-seqs', '8', '--warmup', '2', '--json'],
    );
    expect(status).toBe(0);
    expect(stderr).toContain('warning: the context holds 512 tokens');
    const report = JSON.parse(stdout);
    expect(report.errorsByCode).toEqual({});
    expect(report.inputLen).toEqual({ min: 100, max: 412 });
    expect(report.outputLen).toEqual({ min: 100, max: 412 });
    const longer = permafrost(...args, '--output-len', '600', '--json');
    expect(longer.status).toBe(0);
    expect(longer.stderr).toContain('the context holds 512 tokens');
    expect(JSON.parse(longer.stdout).completionTokens).toBe(8 * 496);
  });

  test('warms up with as many sequences as it is told', () => {
    const { status, stdout } = permafrost(...args, '--warmup', '0', '--json');
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.warmup).toBe(0);
    expect(report.devices[0].decodeTokens).toBe(report.completionTokens - 8);
  });
});

test('devices lists the CPU and says what CUDA lacks', () => {
  const { status, stdout } = permafrost('devices', '--json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    devices: expect.arrayContaining([expect.objectContaining({ device: 'cpu:0', kind: 'cpu' })]),
    cudaProblem: expect.any(String),
  });
});

describe('what is known to be wrong is said before the engine starts, with 2', () => {
  const model = ['--model', TINY];
  const empty = mkdtempSync(join(tmpdir(), 'permafrost-empty-'));
  afterAll(() => rmSync(empty, { recursive: true }));
  const input = join(folder, 'input.jsonl');
  writeFileSync(input, line('a', { prompt: '1+1=' }));
  const job = ['run-batch', '-i', input, '-o', join(folder, 'never.jsonl')];
  test.each([
    [['run-batch', '-i', CLI, ...model], "required option '-o, --output <file>'"],
    [['run-batch', '-o', 'x', ...model], "required option '-i, --input <file>'"],
    [['startup'], "required option '-m, --model <model>'"],
    [['startup', '--model', ''], '--model: must be a text that is not empty'],
    [['startup', '--model', '/nowhere'], 'the model folder /nowhere does not exist'],
    [['startup', '--model', 'a/b/some/model'], 'give that alone, as OWNER/NAME'],
    [['startup', '--model', CLI], 'is a file, not a folder'],
    [['startup', '--model', empty], 'is empty'],
    [[...job, '--model', '/nowhere'], 'does not exist'],
    [['generate', ...model], "missing required argument 'prompt'"],
    [['generate', ...model, ''], 'the prompt: is empty'],
    [['generate', ...model, 'x', 'y'], 'too many arguments'],
    [['generate', ...model, 'x', '--temperature', '-1'], '--temperature: must be a number from 0'],
    [['generate', ...model, 'x', '--temperature', '0x10'], 'It must be a number such as 0.7.'],
    [['generate', ...model, 'x', '--temperature', 'NaN'], 'It must be a number such as 0.7.'],
    [['generate', ...model, 'x', '--max-tokens', '0'], 'It must be a whole number from 1 on.'],
    [['generate', ...model, 'x', '--max-tokens', '1e9'], 'It must be a whole number from 1 on.'],
    [['generate', ...model, 'x', '--max-tokens', ' '], 'It must be a whole number from 1 on.'],
    [['generate', ...model, 'x', '--top-q', '1'], "unknown option '--top-q'"],
    [['bench', ...model, '--num-seqs', '999999999'], 'from 1 to 100000'],
    [['bench', ...model, '--input-len', '9:5'], 'MIN is larger than MAX.'],
    [['startup', ...model, '--devices', ''], '--devices: must be'],
    [['startup', ...model, '--devices', 'tpu:0'], '--devices: must be'],
    [['startup', ...model, '--devices', 'cpu,cpu:0'], '--devices: names a device twice'],
    [['startup', ...model, '--max-num-seqs', '70000'], '--max-num-seqs: must be a whole number'],
    [['startup', ...model, '--text-threads', '65'], '--text-threads: must be a whole number'],
    [['startup', ...model, '--text-timeout-ms', '0'], '--text-timeout-ms: must be'],
    [['startup', ...model, '--text-memory-bytes', '9'], '--text-memory-bytes: must be'],
    [['startup', ...model, '--max-request-bytes', '1e9'], 'It must be a whole number from 1 on.'],
    [['startup', ...model, '--gpu-memory-utilization', '2'], 'above 0 and up to 1, not 2'],
    [['startup', ...model, '--capture-sizes', '0'], 'It must be a whole number from 1 on.'],
    [['startup', ...model, '--gc-policy', 'sometimes'], 'It must be frozen,'],
    [['startup', ...model, '--kv-cache-bytes', '0x10'], 'It must be a whole number from 1 on.'],
    [[...job, ...model, '--max-inflight', '0'], 'It must be a whole number from 1 on.'],
  ])('%j', (args, words) => {
    const { status, stderr } = permafrost(...args);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(words) });
    // One sentence, and the hint at the help.
    const lines = stderr.trimEnd().split('\n');
    expect(lines.filter((line) => line !== '(add --help for all options)')).toHaveLength(1);
    expect(stderr).not.toContain('Loading model');
  });
});

test('no help shows a value of our own code', () => {
  for (const command of ['run-batch', 'generate', 'startup', 'bench', 'devices']) {
    const { status, stdout } = permafrost(command, '--help');
    expect(status).toBe(0);
    expect(stdout).not.toMatch(/[{}]|undefined|\[object/);
  }
});

test('--max-tokens beyond the context is warned of', () => {
  const args = ['generate', ...ON_TINY, '17+25=', '--temperature', '0'];
  const beyond = permafrost(...args, '--max-tokens', '600');
  expect(beyond).toMatchObject({ status: 0, stdout: '42\n' });
  expect(beyond.stderr).toContain('warning: --max-tokens 600 is beyond the context of 512 tokens');
  expect(permafrost(...args, '--max-tokens', '60').stderr).not.toContain('warning: --max');
});

test('capture sizes that no step can use are warned of', () => {
  const { status, stderr } = permafrost('startup', ...ON_TINY, '--capture-sizes', '1000');
  expect(status).toBe(0);
  expect(stderr).toContain('warning: --capture-sizes: 1000 is not captured on cpu:0');
});

test.each([
  [['run-batch', '-i', 'x'], 2],
  [['startup', '--model', TINY, '--gc-policy', 'sometimes'], 2],
  [['startup', '--model', TINY, '--devices', 'tpu:0'], 2],
  [['no-such-command'], 2],
  [['startup', '--model', TINY, '--devices', 'cuda:99'], 3],
  [['--help'], 0],
  [['--version'], 0],
])('%j exits with %i', (args, code) => {
  const { status, stderr } = permafrost(...args);
  expect(status).toBe(code);
  if (code > 1) expect(stderr).not.toBe('');
});
