import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readGenerationDefaults } from '../../../src/scheduler/model-defaults.js';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function checkpoint(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

describe('the ids that end a text', () => {
  const generation = { 'generation_config.json': '{"eos_token_id": [5, 6]}' };
  const config = { 'config.json': '{"eos_token_id": 9}' };

  it("are generation_config.json's and the tokenizer's own", async () => {
    const folder = await checkpoint({ ...generation, ...config });
    expect((await readGenerationDefaults(folder, [7])).eosTokenIds).toEqual([5, 6, 7]);
    expect((await readGenerationDefaults(folder, [6])).eosTokenIds).toEqual([5, 6]);
  });

  it("are config.json's, all of them, and the tokenizer's where that file names none", async () => {
    const folder = await checkpoint({
      'generation_config.json': '{"temperature": 0.6}',
      'config.json': '{"eos_token_id": [128001, 128008, 128009]}',
    });
    const all = [128001, 128008, 128009];
    expect((await readGenerationDefaults(folder, [128009])).eosTokenIds).toEqual(all);
    expect((await readGenerationDefaults(folder, [])).eosTokenIds).toEqual(all);
    const single = await checkpoint(config);
    expect((await readGenerationDefaults(single, [7])).eosTokenIds).toEqual([9, 7]);
  });

  it('are those of text_config where a checkpoint keeps its language model there', async () => {
    const folder = await checkpoint({
      'config.json': '{"text_config": {"eos_token_id": [1, 106]}}',
    });
    expect((await readGenerationDefaults(folder, [])).eosTokenIds).toEqual([1, 106]);
  });

  it("leave out ids that can't occur", async () => {
    const folder = await checkpoint({ 'generation_config.json': '{"eos_token_id": [-1, 4]}' });
    expect((await readGenerationDefaults(folder, [])).eosTokenIds).toEqual([4]);
    const none = await checkpoint({ 'generation_config.json': '{"eos_token_id": -1}' });
    expect((await readGenerationDefaults(none, [])).eosTokenIds).toEqual([]);
  });

  it('are refused when they are more than a device can look for', async () => {
    const ids = Array.from({ length: 17 }, (_, index) => index);
    const folder = await checkpoint({
      'generation_config.json': JSON.stringify({ eos_token_id: ids }),
    });
    await expect(readGenerationDefaults(folder, [])).rejects.toMatchObject({
      code: 'ERR_MODEL_CONFIG',
      message: expect.stringContaining('17 end-of-sequence ids'),
    });
  });

  it('are none when no file names any', async () => {
    const folder = await checkpoint({ 'config.json': '{"eos_token_id": null}' });
    expect((await readGenerationDefaults(folder, [])).eosTokenIds).toEqual([]);
  });

  it('are an error when the file is damaged', async () => {
    const folder = await checkpoint({ 'generation_config.json': '{' });
    await expect(readGenerationDefaults(folder, [])).rejects.toMatchObject({
      code: 'ERR_MODEL_CONFIG',
    });
  });
});
