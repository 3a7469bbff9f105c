import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  completionLine,
  idsOf,
  longLines,
  readRows,
  startBatch,
  temporaryFolder,
  waitForBytes,
} from './batch-command.js';

function jobFolder(content: string) {
  const folder = temporaryFolder();
  const [input, output] = [join(folder, 'in.jsonl'), join(folder, 'out.jsonl')];
  writeFileSync(input, content);
  return { folder, input, output, args: ['-i', input, '-o', output] };
}

const SHORT = ['a', 'b']
  .map((id) => `${completionLine(id, { prompt: '1+1=', max_tokens: 2 })}\n`)
  .join('');

describe('an output', () => {
  test('of a job that runs is refused to any other, which names the process', async () => {
    const { folder, output, args } = jobFolder(longLines(4000, { max_tokens: 200 }));
    const other = join(folder, 'other.jsonl');
    writeFileSync(other, SHORT);
    const first = startBatch(args);
    // From its start on, also while its engine starts.
    while (!existsSync(`${output}.permafrost-lock`)) await new Promise(setImmediate);
    for (const more of [
      ['-o', output],
      ['-o', output, '--resume'],
      ['-o', output, '--overwrite'],
      ['-o', join(folder, 'rows.jsonl'), '--output-errors', output],
    ]) {
      const second = startBatch(['-i', other, ...more]);
      expect(await second.ended).toBe(2);
      expect(second.stderr()).toContain(`process ${first.pid} on `);
      expect(second.stderr()).not.toContain('Loading');
    }
    // A killed job holds nothing, and what it has written is still its own.
    await waitForBytes(output, 1, first);
    first.child.kill('SIGKILL');
    await first.ended;
    const numKept = readFileSync(output, 'utf8').split('\n').length - 1;
    const third = startBatch(['-i', other, '-o', output, '--resume', '--json']);
    expect(await third.ended).toBe(0);
    expect(idsOf(readRows(output))).toHaveLength(numKept + 2);
    expect(readdirSync(folder).sort()).toEqual(['in.jsonl', 'other.jsonl', 'out.jsonl']);
  });

  test('that has content is kept unless --overwrite drops it', async () => {
    const { output, args } = jobFolder(SHORT);
    writeFileSync(output, 'Dear diary\n');
    const refused = startBatch(args);
    expect(await refused.ended).toBe(2);
    expect(refused.stderr()).toMatch(/--resume.*--overwrite/);
    expect(readFileSync(output, 'utf8')).toBe('Dear diary\n');
    expect(await startBatch([...args, '--overwrite']).ended).toBe(0);
    expect(idsOf(readRows(output)).sort()).toEqual(['a', 'b']);
    const both = startBatch([...args, '--overwrite', '--resume']);
    expect(await both.ended).toBe(2);
    expect(idsOf(readRows(output)).sort()).toEqual(['a', 'b']);
  });

  test('that somebody removes ends the job, which says how many rows that concerns', async () => {
    const { output, args } = jobFolder(longLines(4000, { max_tokens: 200 }));
    const command = startBatch([...args, '--max-inflight', '32']);
    await waitForBytes(output, 1, command);
    rmSync(output);
    expect(await command.ended).toBe(2);
    expect(command.stderr()).toMatch(/was removed .*: \d+ of its \d+ rows are affected/);
  });

  test.each([
    ['/dev/full', /ENOSPC/],
    ['/', /folder/],
    ['/nowhere/out.jsonl', /folder does not exist/],
  ])('%s is a file error, and ends the command with 2', async (output, message) => {
    const { args } = jobFolder(SHORT);
    const command = startBatch([...args.slice(0, 2), '-o', output]);
    expect(await command.ended).toBe(2);
    expect(command.stderr()).toMatch(message);
    expect(command.stderr()).not.toContain('    at ');
  });
});

test('an input of another encoding is refused before the engine starts', async () => {
  const { output, input, args } = jobFolder('');
  writeFileSync(input, Buffer.from(SHORT, 'utf16le'));
  const command = startBatch(args);
  expect(await command.ended).toBe(2);
  expect(command.stderr()).toContain('it is UTF-16');
  expect(existsSync(output)).toBe(false);
});
