// Writes a checkpoint with the shape of Qwen3-0.6B or Qwen3-8B and random bf16 weights: 1.2 or
// 16.4 GB in one safetensors file, no tokenizer. For speed only; its text means nothing.
//
//   node tools/random-model/make.js [FOLDER] [--shape 0.6b|8b] [--layers N] [--seed S]
//
// A complete one is reused.

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { RandomBf16 } from './random-bf16.js';

const BF16_ONE = 0x3f80;
const CHUNK_VALUES = 1 << 22;

/** What differs between the shapes. */
const SHAPES = {
  '0.6b': {
    hidden_size: 1024,
    intermediate_size: 3072,
    num_attention_heads: 16,
    num_hidden_layers: 28,
    tie_word_embeddings: true,
  },
  '8b': {
    hidden_size: 4096,
    intermediate_size: 12288,
    num_attention_heads: 32,
    num_hidden_layers: 36,
    tie_word_embeddings: false,
  },
};

function modelConfig(shape, layers, seed) {
  const sizes = SHAPES[shape];
  return {
    architectures: ['Qwen3ForCausalLM'],
    model_type: 'qwen3',
    torch_dtype: 'bfloat16',
    attention_bias: false,
    bos_token_id: 151643,
    eos_token_id: 151645,
    head_dim: 128,
    hidden_act: 'silu',
    hidden_size: sizes.hidden_size,
    intermediate_size: sizes.intermediate_size,
    max_position_embeddings: 40960,
    num_attention_heads: sizes.num_attention_heads,
    num_hidden_layers: layers,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: 1000000,
    sliding_window: null,
    tie_word_embeddings: sizes.tie_word_embeddings,
    use_sliding_window: false,
    vocab_size: 151936,
    // Not Hugging Face's: says whether a checkpoint found is the one asked for.
    random_seed: seed,
  };
}

/** [name, shape] of every tensor, in the file's order. */
function tensorShapes(config) {
  const hidden = config.hidden_size;
  const inner = config.intermediate_size;
  const queries = config.num_attention_heads * config.head_dim;
  const keys = config.num_key_value_heads * config.head_dim;
  const tensors = [['model.embed_tokens.weight', [config.vocab_size, hidden]]];
  for (let i = 0; i < config.num_hidden_layers; i += 1) {
    const layer = `model.layers.${i}`;
    tensors.push(
      [`${layer}.input_layernorm.weight`, [hidden]],
      [`${layer}.self_attn.q_proj.weight`, [queries, hidden]],
      [`${layer}.self_attn.k_proj.weight`, [keys, hidden]],
      [`${layer}.self_attn.v_proj.weight`, [keys, hidden]],
      [`${layer}.self_attn.o_proj.weight`, [hidden, queries]],
      [`${layer}.self_attn.q_norm.weight`, [config.head_dim]],
      [`${layer}.self_attn.k_norm.weight`, [config.head_dim]],
      [`${layer}.post_attention_layernorm.weight`, [hidden]],
      [`${layer}.mlp.gate_proj.weight`, [inner, hidden]],
      [`${layer}.mlp.up_proj.weight`, [inner, hidden]],
      [`${layer}.mlp.down_proj.weight`, [hidden, inner]],
    );
  }
  tensors.push(['model.norm.weight', [hidden]]);
  if (!config.tie_word_embeddings) tensors.push(['lm_head.weight', [config.vocab_size, hidden]]);
  return tensors;
}

/** The length word, the JSON header padded to 8 bytes, and how many bytes of data follow. */
function safetensorsHeader(tensors) {
  const entries = {};
  let end = 0;
  for (const [name, shape] of tensors) {
    const begin = end;
    end += 2 * shape.reduce((product, size) => product * size, 1);
    entries[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] };
  }
  const json = JSON.stringify(entries);
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return { header: Buffer.concat([length, header]), dataBytes: end };
}

function writeData(file, tensors, random) {
  const chunk = new Uint16Array(CHUNK_VALUES);
  for (const [, shape] of tensors) {
    let left = shape.reduce((product, size) => product * size, 1);
    const isNorm = shape.length === 1;
    while (left > 0) {
      const values = chunk.subarray(0, Math.min(left, chunk.length));
      if (isNorm) values.fill(BF16_ONE);
      else random.fill(values);
      const bytes = new Uint8Array(values.buffer, 0, values.byteLength);
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      left -= values.length;
    }
  }
}

export function defaultFolder(shape, layers) {
  const suffix = layers === SHAPES[shape].num_hidden_layers ? '' : `-${layers}-layers`;
  return join(tmpdir(), 'permafrost-bench', `qwen3-${shape}-random${suffix}`);
}

/** Makes the checkpoint unless it is there. Gives its folder. */
export function makeRandomModel({
  shape = '0.6b',
  layers = SHAPES[shape].num_hidden_layers,
  seed = 1,
  folder = defaultFolder(shape, layers),
} = {}) {
  const config = modelConfig(shape, layers, seed);
  const configText = `${JSON.stringify(config, null, 2)}\n`;
  const tensors = tensorShapes(config);
  const { header, dataBytes } = safetensorsHeader(tensors);
  const configPath = join(folder, 'config.json');
  const weightsPath = join(folder, 'model.safetensors');
  const complete =
    existsSync(configPath) &&
    existsSync(weightsPath) &&
    readFileSync(configPath, 'utf8') === configText &&
    statSync(weightsPath).size === header.length + dataBytes;
  if (complete) return folder;

  mkdirSync(folder, { recursive: true });
  // Renamed when whole, so that neither an interrupted run nor a second one leaves a torn file.
  const partial = `${weightsPath}.${process.pid}.partial`;
  const file = openSync(partial, 'w');
  try {
    writeSync(file, header);
    writeData(file, tensors, new RandomBf16(seed));
  } finally {
    closeSync(file);
  }
  renameSync(partial, weightsPath);
  writeFileSync(configPath, configText);
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shape: { type: 'string', default: '0.6b' },
      layers: { type: 'string' },
      seed: { type: 'string', default: '1' },
    },
  });
  const { shape } = values;
  if (!Object.hasOwn(SHAPES, shape)) throw new Error(`--shape ${shape}?`);
  const layers = Number(values.layers ?? SHAPES[shape].num_hidden_layers);
  if (!Number.isInteger(layers) || layers < 1) throw new Error(`--layers ${values.layers}?`);
  const folder = positionals[0] ?? defaultFolder(shape, layers);
  console.log(makeRandomModel({ shape, layers, seed: Number(values.seed), folder }));
}
