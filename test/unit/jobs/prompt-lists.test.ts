import { describe, expect, test } from 'vitest';
import { runBatchFile } from '../../../src/jobs/run-batch-file.js';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { FakeEngine, jobFiles, readOutput, requestLine } from './batch-files.js';

function listLine(customId: string, prompts: readonly unknown[]): string {
  const body = { model: 'tiny', prompt: prompts };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/completions', body });
}

const textsOf = async (path: string) =>
  Object.fromEntries(
    (await readOutput(path)).map(({ custom_id, response }) => [
      custom_id,
      response?.body.choices.map((choice) => ('text' in choice ? choice.text : '')),
    ]),
  );

describe('a list of prompts', () => {
  test('is one row with the choices in order and all usage added up', async () => {
    const letters = Array.from({ length: 26 }, (_, at) => String.fromCharCode(97 + at));
    const files = await jobFiles(
      `${listLine('list', letters)}\n${requestLine('single')}\n${listLine('ids', [[1], [2, 3]])}\n`,
    );
    const summary = await runBatchFile(new FakeEngine(), { ...files, maxInflight: 4 });
    expect(await textsOf(files.output)).toEqual({
      list: letters,
      single: ['say single'],
      ids: ['1', '2,3'],
    });
    const rows = await readOutput(files.output);
    const list = rows.find(({ custom_id }) => custom_id === 'list')?.response?.body;
    expect(list?.choices.map(({ index }) => index)).toEqual(letters.map((_, index) => index));
    expect(list?.usage).toEqual({
      prompt_tokens: 78,
      completion_tokens: 52,
      total_tokens: 130,
      prompt_tokens_details: { cached_tokens: 26 },
    });
    expect(summary).toMatchObject({ total: 3, succeeded: 3, promptTokens: 87, unfinished: 0 });
  });

  test('never has more prompts in the engine than there is room for', async () => {
    const files = await jobFiles(listLine('list', Array<string>(100).fill('x')));
    const engine = new FakeEngine();
    await runBatchFile(engine, { ...files, maxInflight: 3 });
    expect(engine.maxRunning).toBe(3);
    expect(engine.prompts).toHaveLength(100);
  });

  test('fails as one row at its first failure, which says where, and ends the rest', async () => {
    const prompts = Array.from({ length: 50 }, (_, index) => `p${index}`);
    const files = await jobFiles(`${listLine('list', prompts)}\n${requestLine('after')}\n`);
    const engine = new FakeEngine({
      fail: (prompt) =>
        prompt === 'p3' ? new PermafrostError('ERR_PROMPT_TOO_LONG', 'too long') : undefined,
    });
    const summary = await runBatchFile(engine, { ...files, maxInflight: 2 });
    expect(summary).toMatchObject({ succeeded: 1, failed: 1, unfinished: 0 });
    expect(engine.prompts.length).toBeLessThan(12);
    const rows = await readOutput(files.output);
    expect(rows.find(({ custom_id }) => custom_id === 'list')?.error).toEqual({
      code: 'ERR_PROMPT_TOO_LONG',
      message: 'body.prompt[3]: too long',
      line: 1,
    });
  });

  test('is not written when only a part of it ran, and runs again as a whole', async () => {
    const files = await jobFiles(`${listLine('list', ['a', 'b', 'c', 'd'])}\n`);
    const controller = new AbortController();
    let numTurns = 0;
    const engine = new FakeEngine({
      onRunning: () => {
        if (++numTurns === 3) controller.abort();
      },
    });
    const options = { ...files, maxInflight: 1, signal: controller.signal, drainMs: 0 };
    expect(await runBatchFile(engine, options)).toMatchObject({ unfinished: 1, succeeded: 0 });
    expect(await readOutput(files.output)).toEqual([]);
    await runBatchFile(new FakeEngine(), { ...files, resume: true });
    expect(await textsOf(files.output)).toEqual({ list: ['a', 'b', 'c', 'd'] });
  });

  test('that runs when the job is interrupted is finished', async () => {
    const files = await jobFiles(
      `${listLine('list', ['a', 'b', 'c', 'd'])}\n${requestLine('later')}\n`,
    );
    const controller = new AbortController();
    const engine = new FakeEngine({ onRunning: () => controller.abort() });
    const options = { ...files, maxInflight: 1, signal: controller.signal };
    expect(await runBatchFile(engine, options)).toMatchObject({ succeeded: 1, interrupted: true });
    expect(await textsOf(files.output)).toEqual({ list: ['a', 'b', 'c', 'd'] });
  });
});
