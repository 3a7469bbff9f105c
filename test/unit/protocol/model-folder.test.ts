import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PermafrostError } from '../../../src/protocol/errors.js';
import { explainFolder } from '../../../src/protocol/model-folder.js';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'permafrost-'));
});
afterAll(() => rm(root, { recursive: true }));

const FAILURE = new PermafrostError('ERR_MODEL_NOT_FOUND', 'config.json does not exist');

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(root, 'model-'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

const explain = (folder: string) => explainFolder(folder, FAILURE);

describe('a folder in another format is named for what it is', () => {
  const config = { 'config.json': '{}' };
  const cases: readonly [what: RegExp, files: Readonly<Record<string, string>>][] = [
    [/GGUF/, { 'model-Q4_K_M.gguf': 'GGUF' }],
    [/GGUF/, { ...config, 'model.GGUF': 'GGUF' }],
    [
      /LoRA adapter of meta-llama\/Llama-3\.1-8B .*Merge/,
      {
        'adapter_config.json': '{"base_model_name_or_path": "meta-llama/Llama-3.1-8B"}',
        'adapter_model.safetensors': '',
      },
    ],
    [/LoRA adapter \(/, { 'adapter_config.json': 'damaged', ...config }],
    [/consolidated/, { 'consolidated.safetensors': '', 'params.json': '{}' }],
    [/consolidated/, { 'consolidated.00.pth': '', ...config }],
    [/pytorch_model\.bin.*safetensors/, { ...config, 'pytorch_model.bin': '' }],
    [
      /pytorch_model/,
      { ...config, 'pytorch_model-00001-of-00002.bin': '', 'pytorch_model.bin.index.json': '{}' },
    ],
    [/diffusion/, { 'model_index.json': '{}' }],
    [/ONNX/, { ...config, 'model.onnx': '' }],
    [/TensorFlow/, { ...config, 'tf_model.h5': '' }],
    [/MLX/, { ...config, 'weights.npz': '' }],
    [/other names \(weights\.safetensors\)/, { ...config, 'weights.safetensors': '' }],
  ];
  it.each(cases)('%s', async (message, files) => {
    expect(await explain(await folderOf(files))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });
});

describe('what is no folder of a model', () => {
  const notFound = (message: RegExp) => ({
    code: 'ERR_MODEL_NOT_FOUND',
    message: expect.stringMatching(message),
  });

  it('may be an id on the hub, a URL or a path for the shell', async () => {
    expect(await explain(join(root, 'Qwen/Qwen3-8B'))).toMatchObject(
      notFound(/does not exist.*'Qwen\/Qwen3-8B'.*hf download Qwen\/Qwen3-8B/),
    );
    for (const url of ['https:/huggingface.co/Qwen/Qwen3-8B', 'hf:/Qwen/Qwen3-8B', 's3:/a/b']) {
      expect(await explain(join(root, url))).toMatchObject(notFound(/URL/));
    }
    expect(await explain(join(root, '~/models/qwen'))).toMatchObject(notFound(/'~'/));
  });

  it('may be a file', async () => {
    const folder = await folderOf({ 'model.safetensors': '', 'model.gguf': '' });
    expect(await explain(join(folder, 'model.safetensors'))).toMatchObject(
      notFound(/is a file, not a folder/),
    );
    expect(await explain(join(folder, 'model.gguf'))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(/GGUF file/),
    });
  });

  it('may be empty, incomplete, or one level too high', async () => {
    expect(await explain(await folderOf({}))).toMatchObject(notFound(/is empty/));
    expect(await explain(await folderOf({ 'config.json': '{}' }))).toMatchObject(
      notFound(/no model\.safetensors/),
    );
    expect(await explain(await folderOf({ 'model.safetensors': '' }))).toMatchObject(
      notFound(/no config\.json/),
    );
    const parts = { 'config.json': '{}', 'model-00001-of-00002.safetensors': '' };
    expect(await explain(await folderOf(parts))).toMatchObject(notFound(/index\.json/));
    const high = await folderOf({ 'qwen/config.json': '{}' });
    expect(await explain(high)).toMatchObject(notFound(/qwen may be one/));
    const cache = await folderOf({ 'snapshots/0123abcd/config.json': '{}', 'refs/main': '0123' });
    expect(await explain(cache)).toMatchObject(notFound(/snapshots\/0123abcd may be one/));
    const dangling = join(root, 'dangling');
    await symlink('nowhere', dangling);
    expect(await explain(dangling)).toMatchObject(notFound(/does not exist/));
  });
});

describe('the error of a start', () => {
  it('stays where the folder looks like a checkpoint', async () => {
    const folder = await folderOf({
      'config.json': '{}',
      'model.safetensors': '',
      'model.gguf': '',
      'adapter_config.json': '{}',
    });
    expect(await explain(folder)).toBe(FAILURE);
  });

  it('stays where no folder could be the cause', async () => {
    const other = new PermafrostError('ERR_NO_DEVICE', 'there is no cuda:7');
    expect(await explainFolder('/nowhere', other)).toBe(other);
    const bug = new TypeError('not ours');
    expect(await explainFolder('/nowhere', bug)).toBe(bug);
  });
});
