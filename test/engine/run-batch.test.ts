import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  completionLine,
  idsOf,
  longLines,
  parseRows,
  peakRssBytes,
  readRows,
  startBatch,
  temporaryFolder,
  waitForBytes,
} from './batch-command.js';

describe('the rows of a job', () => {
  test('hold all choices of a list of prompts, in order', async () => {
    const folder = temporaryFolder();
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    const prompts = ['17+25=', '905-17=', '1+1='];
    writeFileSync(
      input,
      [
        completionLine('one', { prompt: '17+25=', max_tokens: 8 }),
        completionLine('list', { prompt: prompts, max_tokens: 8, n: 2 }),
      ].join('\n'),
    );
    expect(await startBatch(['-i', input, '-o', output]).ended).toBe(0);
    const rows = readRows(output);
    const bodyOf = (id: string) => rows.find((row) => row.custom_id === id)?.response?.body;
    const choices = bodyOf('list')?.choices ?? [];
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(choices.map((choice) => ('text' in choice ? choice.text : ''))).toEqual([
      ...['42', '42'],
      ...['888', '888'],
      ...['2', '2'],
    ]);
    // Three digits and an end, twice for each prompt.
    expect(bodyOf('list')?.usage).toMatchObject({ prompt_tokens: 17, completion_tokens: 18 });
    expect(bodyOf('one')?.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 3 });
  });

  test('have log-probabilities of which the tokens make up the text', async () => {
    const folder = temporaryFolder();
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    const chat = JSON.stringify({
      custom_id: 'chat',
      method: 'POST',
      url: '/v1/chat/completions',
      body: {
        model: 'tiny',
        messages: [{ role: 'user', content: 'reverse planet =' }],
        temperature: 0,
        max_tokens: 12,
        logprobs: true,
        top_logprobs: 3,
        chat_template_kwargs: { enable_thinking: false },
      },
    });
    const plain = completionLine('plain', { prompt: '17+25=', max_tokens: 8, logprobs: 2 });
    writeFileSync(input, `${chat}\n${plain}\n`);
    expect(await startBatch(['-i', input, '-o', output]).ended).toBe(0);
    for (const { response } of readRows(output)) {
      const { choices = [], usage } = response?.body ?? {};
      for (const choice of choices) {
        if ('message' in choice) {
          const content = choice.logprobs?.content ?? [];
          expect(content).toHaveLength(usage?.completion_tokens ?? -1);
          const text = Buffer.from(content.flatMap(({ bytes }) => bytes ?? [])).toString();
          expect(text.replace(/<\|im_end\|>$/, '')).toBe(choice.message.content);
          for (const { top_logprobs } of content) expect(top_logprobs).toHaveLength(3);
        } else {
          const { tokens = [], text_offset = [] } = choice.logprobs ?? {};
          expect(tokens).toHaveLength(usage?.completion_tokens ?? -1);
          expect(tokens.join('')).toBe(`${choice.text}<|endoftext|>`);
          const offsets = tokens.map((_, at) => tokens.slice(0, at).join('').length);
          expect(text_offset).toEqual(offsets);
        }
      }
    }
  });
});

describe('the files of a job', () => {
  const lines = [
    completionLine('good', { prompt: '17+25=', max_tokens: 8 }),
    'oops',
    completionLine('tools', { prompt: 'x', tools: [{ type: 'function' }] }),
  ].join('\n');

  test('may be standard input and output', async () => {
    const command = startBatch(['-i', '-', '-o', '-'], 'pipe');
    command.child.stdin?.end(lines);
    expect(await command.ended).toBe(1);
    const rows = parseRows(command.stdout().toString());
    expect(idsOf(rows).sort()).toEqual(['good', 'none', 'tools']);
    expect(command.stderr()).toContain('results: standard output');
  });

  test('may be gzip, and errors apart', async () => {
    const folder = temporaryFolder();
    const input = join(folder, 'in.jsonl.gz');
    const output = join(folder, 'out.jsonl.gz');
    const errors = join(folder, 'errors.jsonl');
    writeFileSync(input, gzipSync(lines));
    const args = ['-i', input, '-o', output, '--output-errors', errors];
    const command = startBatch(args);
    expect(await command.ended).toBe(1);
    expect(idsOf(parseRows(gunzipSync(readFileSync(output)).toString()))).toEqual(['good']);
    expect(readRows(errors).map(({ error }) => [error?.line, error?.code])).toEqual([
      [2, 'ERR_BAD_LINE'],
      [3, 'ERR_UNSUPPORTED'],
    ]);
    expect(command.stderr()).toMatch(/ERR_BAD_LINE: 1\n.*ERR_UNSUPPORTED: 1/);
    const again = startBatch([...args, '--resume']);
    expect(await again.ended).toBe(2);
    expect(again.stderr()).toContain("can't be resumed into");
  });

  test('may hold a line of 50 MB, which costs no memory', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out.jsonl');
    const command = startBatch(['-i', '-', '-o', output], 'pipe');
    const { stdin } = command.child;
    if (stdin === null) throw new Error('there is no standard input');
    stdin.write(`${completionLine('before', { prompt: '17+25=', max_tokens: 4 })}\n`);
    await waitForBytes(output, 1, command);
    const before = peakRssBytes(command.pid);
    for (let written = 0; written < 50; written++) {
      const isRoom = stdin.write('x'.repeat(1 << 20));
      if (!isRoom) await new Promise((resolve) => stdin.once('drain', resolve));
    }
    stdin.write(`\n${completionLine('after', { prompt: '17+25=', max_tokens: 4 })}\n`);
    // One row comes for the long line, and one behind it.
    await waitForBytes(output, readFileSync(output).length + 400, command);
    const grown = peakRssBytes(command.pid) - before;
    stdin.end();
    expect(await command.ended).toBe(1);
    const rows = readRows(output);
    expect(idsOf(rows).sort()).toEqual(['after', 'before', 'none']);
    expect(rows.find(({ error }) => error !== null)?.error).toMatchObject({
      code: 'ERR_LINE_TOO_LONG',
      line: 2,
    });
    // What is kept until the limit of 16 MiB, and what lies about until it is collected.
    expect(grown).toBeLessThan(48 << 20);
  });
});

describe('Ctrl-C', () => {
  /** Ends long before it is through. */
  const rows = longLines(4000, { max_tokens: 200 });

  async function resume(input: string, output: string, numKept: number): Promise<void> {
    // Its rest would take a while: a few of the rows are enough to see which are run.
    const few = join(input, '..', 'few.jsonl');
    const kept = new Set(idsOf(readRows(output)));
    expect(kept.size).toBe(numKept);
    const all = readFileSync(input, 'utf8').trimEnd().split('\n');
    const isKept = (line: string) =>
      kept.has((JSON.parse(line) as { custom_id: string }).custom_id);
    const some = [...all.filter(isKept), ...all.filter((line) => !isKept(line)).slice(0, 10)];
    writeFileSync(few, some.join('\n'));
    const command = startBatch(['-i', few, '-o', output, '--resume', '--json']);
    expect(await command.ended).toBe(0);
    expect(JSON.parse(command.stdout().toString())).toMatchObject({
      total: numKept + 10,
      skipped: numKept,
      succeeded: 10,
    });
    expect(new Set(idsOf(readRows(output))).size).toBe(numKept + 10);
  }

  async function interrupted(numInflight: number) {
    const folder = temporaryFolder();
    const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
    writeFileSync(input, rows);
    const args = ['-i', input, '-o', output, '--max-inflight', String(numInflight)];
    const command = startBatch(args);
    await waitForBytes(output, 1, command);
    command.child.kill('SIGINT');
    return { input, output, command, atMs: performance.now() };
  }

  test('once lets what runs finish, and exits with 130', async () => {
    const { input, output, command } = await interrupted(32);
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toContain('run again with --resume');
    expect(command.stderr()).not.toContain('unfinished');
    const numKept = readRows(output).length;
    expect(numKept).toBeGreaterThanOrEqual(32);
    await resume(input, output, numKept);
  });

  test('once waits no longer than 10 s for what runs', async () => {
    const { input, output, command, atMs } = await interrupted(4000);
    expect(await command.shellCode).toBe(130);
    expect(performance.now() - atMs).toBeGreaterThan(9900);
    // Not by waiting for all of them.
    expect(command.stderr()).toContain('unfinished');
    await resume(input, output, readRows(output).length);
  });

  test('twice stops at once', async () => {
    const { input, output, command } = await interrupted(4000);
    while (!command.stderr().includes('interrupted')) {
      await new Promise((resolve) => command.child.stderr?.once('data', resolve));
    }
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(command.stderr()).toContain('interrupted again: stopped at once');
    // What comes at the end of a job that was waited for.
    expect(command.stderr()).not.toMatch(/ done, |results: /);
    // Its last line may be half of one.
    const whole = readFileSync(output, 'utf8');
    writeFileSync(output, whole.slice(0, whole.lastIndexOf('\n') + 1));
    await resume(input, output, readRows(output).length);
  });

  test('ends a job that waits for its input', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out.jsonl');
    const command = startBatch(['-i', '-', '-o', output], 'pipe');
    command.child.stdin?.write(`${completionLine('first', { prompt: '1+1=', max_tokens: 4 })}\n`);
    await waitForBytes(output, 1, command);
    command.child.kill('SIGINT');
    expect(await command.shellCode).toBe(130);
    expect(idsOf(readRows(output))).toEqual(['first']);
  });
});
