// What an engine makes of checkpoints that are not as they should be: it runs what the files say,
// or names what is wrong with them, and waits for nothing.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Engine, goldenModel, TINY } from './engines.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-'));
afterAll(() => rmSync(folder, { recursive: true }));

let copies = 0;
/** A copy of a checkpoint to change. */
function copyOf(model: string): string {
  const copy = join(folder, `model-${copies++}`);
  cpSync(model, copy, { recursive: true });
  return copy;
}

function changeConfig(model: string, changes: Readonly<Record<string, unknown>>): void {
  const path = join(model, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...config, ...changes }));
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Adds the embedding, changed, as a head of its own to a model that has none. */
function addHead(model: string, change: (bytes: Buffer) => Buffer): void {
  const path = join(model, 'model.safetensors');
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>;
  const embedding = header['model.embed_tokens.weight'];
  if (embedding === undefined) throw new Error('the model has no embedding');
  const [begin, end] = embedding.data_offsets;
  const head = change(Buffer.from(file.subarray(start + begin, start + end)));
  const size = file.length - start;
  header['lm_head.weight'] = { ...embedding, data_offsets: [size, size + head.length] };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, file.subarray(start), head]));
}

/** Each row of the matrix becomes the next one's. */
function rotateRows(bytes: Buffer): Buffer {
  const row = bytes.length / 512;
  return Buffer.concat([bytes.subarray(row), bytes.subarray(0, row)]);
}

async function answerOf(model: string): Promise<readonly number[]> {
  const engine = await Engine.start({ model, devices: ['cpu'] });
  try {
    const params = { temperature: 0, maxTokens: 12, ignoreEos: true };
    return (await engine.generate([1, 2, 3, 4, 5], params)).tokenIds;
  } finally {
    await engine.close();
  }
}

const start = (model: string) => Engine.start({ model, devices: ['cpu'] });

describe('a tied config', () => {
  test('whose file has another head runs with the file’s head', async () => {
    const model = copyOf(goldenModel('qwen3-tied'));
    const tied = await answerOf(model);
    addHead(model, (bytes) => bytes);
    expect(await answerOf(model)).toEqual(tied);
    const other = copyOf(goldenModel('qwen3-tied'));
    addHead(other, rotateRows);
    const answer = await answerOf(other);
    expect(answer).not.toEqual(tied);
    changeConfig(other, { tie_word_embeddings: false });
    expect(await answerOf(other)).toEqual(answer);
  });
});

describe('a config that says the same in other words', () => {
  test('runs as before', async () => {
    const model = copyOf(goldenModel('qwen3-tied'));
    const expected = await answerOf(model);
    changeConfig(model, {
      architectures: null,
      quantization_config: {},
      rope_scaling: { type: 'linear', factor: 1.0 },
      eos_token_id: [-1, 4_000_000_000],
      torch_dtype: 'torch.bfloat16',
      max_position_embeddings: 512.0,
    });
    expect(await answerOf(model)).toEqual(expected);
  });
});

describe('a config that asks for more', () => {
  test.each([
    [{ architectures: ['GptOssForCausalLM'] }, /GptOssForCausalLM.*it runs Qwen3ForCausalLM/],
    [{ rope_parameters: { factor: 4, rope_theta: 1e6 } }, /factor is 4/],
    [{ rope_parameters: { partial_rotary_factor: 0.5 } }, /partial_rotary_factor is 0\.5/],
    [{ final_logit_softcapping: 30 }, /final_logit_softcapping is 30/],
  ])('%j is refused by name', async (changes, message) => {
    const model = copyOf(goldenModel('qwen3-tied'));
    changeConfig(model, changes);
    await expect(start(model)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });
});

describe('a model that is no folder of a checkpoint', () => {
  test('is named for what it is', async () => {
    await expect(start('/nowhere/Qwen/Qwen3-8B')).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(/hf download Qwen\/Qwen3-8B/),
    });
    await expect(start(join(TINY, 'config.json'))).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(/is a file, not a folder/),
    });
    const adapter = copyOf(TINY);
    rmSync(join(adapter, 'model.safetensors'));
    writeFileSync(join(adapter, 'adapter_config.json'), '{"base_model_name_or_path": "a/b"}');
    await expect(start(adapter)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(/LoRA adapter of a\/b/),
    });
  });
});

describe('a tokenizer at which the library ends its process', () => {
  const normalizer = { type: 'Precompiled', precompiled_charsmap: 'AAAA' };
  const single = [{ SpecialToken: { id: '<nowhere>', type_id: 0 } }];
  const post_processor = { type: 'TemplateProcessing', single, pair: single, special_tokens: {} };
  test.each([
    ['normalizer', { normalizer }, /Precompiled/],
    ['post_processor', { post_processor }, /it encodes nothing/],
  ])('for its %s is refused', async (_, sections, message) => {
    const model = copyOf(TINY);
    const path = join(model, 'tokenizer.json');
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...file, ...sections }));
    const error = await start(model).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({
      code: 'ERR_TOKENIZER',
      message: expect.stringMatching(/tokenizer\.json is damaged/),
    });
    expect(error).toMatchObject({ message: expect.stringMatching(message) });
  });
});

describe('what is in place of a file', () => {
  const FILES = ['config.json', 'tokenizer.json', 'generation_config.json', 'model.safetensors'];

  test.each(FILES)('of %s is not waited for', async (name) => {
    for (const make of [
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => symlinkSync('/dev/zero', path),
    ]) {
      const model = copyOf(TINY);
      rmSync(join(model, name));
      make(join(model, name));
      await expect(start(model)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_(FILE|MODEL_CONFIG|MODEL_WEIGHTS)$/),
        message: expect.stringMatching(new RegExp(`${name} is not a regular file`)),
      });
    }
  });

  test.each(FILES)('of %s, a Git LFS pointer, is named', async (name) => {
    const model = copyOf(TINY);
    writeFileSync(join(model, name), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n');
    await expect(start(model)).rejects.toMatchObject({
      code: 'ERR_MODEL_NOT_FOUND',
      message: expect.stringMatching(new RegExp(`${name} is a Git LFS pointer`)),
    });
  });
});
