import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ON_TINY, temporaryFolder } from './command-process.js';
import { CLI } from './engines.js';

const permafrost = (...args: string[]) =>
  spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });

const idsOf = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id)
    .sort();

test('two shards, one of standard input, and their merge are the whole job', () => {
  const folder = temporaryFolder();
  const [input, all] = [join(folder, 'in.jsonl'), join(folder, 'all.jsonl')];
  const ids = ['a', 'b', 'c', 'd', 'e'];
  const line = (id: string) => {
    const body = { model: 'tiny', prompt: '1+1=', max_tokens: 4, temperature: 0 };
    return JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body });
  };
  writeFileSync(input, ids.map((id) => `${line(id)}\n`).join(''));
  const outputs = ['1', '2'].map((index) => join(folder, `out.${index}.jsonl`));
  const [first = '', second = ''] = outputs;
  const shards = ['run-batch', ...ON_TINY];
  expect(permafrost(...shards, '-i', input, '-o', first, '--shard', '1/2').status).toBe(0);
  expect(idsOf(readFileSync(first, 'utf8'))).toEqual(['a', 'c', 'e']);

  const early = permafrost('merge', first, '-o', all, '--input', input);
  expect(early.status).toBe(1);
  expect(early.stderr).toContain('2 lines of the input have no row: "b", "d"');

  const streamed = spawnSync(
    process.execPath,
    [CLI, ...shards, '-i', '-', '-o', second, '--shard', '2/2'],
    { input: readFileSync(input) },
  );
  expect(streamed.status).toBe(0);
  const merged = permafrost('merge', ...outputs, '-o', all, '--input', input, '--overwrite');
  expect([merged.status, merged.stdout]).toEqual([0, '']);
  expect(merged.stderr).toContain('5 rows, 0 of them errors');
  expect(idsOf(readFileSync(all, 'utf8'))).toEqual(ids);

  const toOutput = permafrost('merge', ...outputs, all, '-o', '-');
  expect(toOutput.status).toBe(1);
  expect(toOutput.stderr).toContain('5 rows are left out, since another one has their id');
  expect(idsOf(toOutput.stdout)).toEqual(ids);
});

test('a shard that is none, and a merge of nothing, are bad usage', () => {
  const shard = permafrost('run-batch', ...ON_TINY, '-i', CLI, '-o', 'x', '--shard', '3/2');
  expect([shard.status, shard.stdout]).toEqual([2, '']);
  expect(shard.stderr).toContain('--shard: must be I/N with I from 0 to N');
  const merge = permafrost('merge', '/nowhere/a.jsonl', '-o', '/nowhere/b.jsonl');
  expect(merge.status).toBe(2);
  expect(merge.stderr).not.toMatch(/\n\s+at /);
});
