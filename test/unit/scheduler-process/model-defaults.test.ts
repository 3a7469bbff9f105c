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

  it("are generation_config.json's if it names any", async () => {
    const folder = await checkpoint({ ...generation, ...config });
    expect((await readGenerationDefaults(folder, [7])).eosTokenIds).toEqual([5, 6]);
  });

  it("are the tokenizer's otherwise, and config.json's at last", async () => {
    const folder = await checkpoint(config);
    expect((await readGenerationDefaults(folder, [7])).eosTokenIds).toEqual([7]);
    expect((await readGenerationDefaults(folder, [])).eosTokenIds).toEqual([9]);
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
