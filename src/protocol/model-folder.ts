/**
 * Says what a model folder is when it is no checkpoint that runs: a hub id, another format, an
 * adapter. Nobody looks before a start has failed, so that one that works does not wait for it.
 */

import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { readCheckpointFile } from './checkpoint-file.js';
import { type ErrorCode, PermafrostError, reasonOf } from './errors.js';
import { hubNameInUrl } from './model-name.js';

/** Errors that a wrong folder can be the cause of. */
const CODES: ReadonlySet<ErrorCode> = new Set([
  'ERR_FILE',
  'ERR_MODEL_CONFIG',
  'ERR_MODEL_NOT_FOUND',
  'ERR_MODEL_WEIGHTS',
  'ERR_TOKENIZER',
]);

const WANTED =
  'Permafrost loads a folder with config.json and model.safetensors, or a model of the hub by its name';

/** Names of files, and what a folder is that has them in place of a checkpoint's. */
const FORMATS: readonly (readonly [name: RegExp, what: string, advice: string])[] = [
  [/\.gguf$/i, 'GGUF files', 'Download the model in its original form, as safetensors'],
  [/^adapter_(config\.json|model\.)/, 'a LoRA adapter', 'Merge it into its base model first'],
  [
    /^consolidated.*\.(safetensors|pth)$|^params\.json$/,
    "weights in their maker's own format (consolidated)",
    'Download the files in the format of transformers',
  ],
  [
    /^pytorch_model.*\.bin(\.index\.json)?$/,
    'weights as pytorch_model.bin',
    'Convert them to safetensors, with save_pretrained() of transformers for instance',
  ],
  [/^model_index\.json$/, 'a pipeline of diffusion models', 'It is no language model'],
  [/\.onnx$/i, 'ONNX files', 'Download the model as safetensors'],
  [/^(tf_model\.h5|flax_model\.msgpack)/, 'weights of TensorFlow or Flax', 'Convert them'],
  [/\.npz$/i, 'weights of MLX', 'Download the model as safetensors'],
  [/\.(pth?|ckpt|bin|h5|engine|safetensors)$/i, 'weights under other names', 'Rename or convert'],
];

/**
 * The error to report of a start that failed: a better one where the folder explains it, else
 * the one that was given.
 */
export async function explainFolder(folder: string, error: unknown): Promise<unknown> {
  if (!(error instanceof PermafrostError) || !CODES.has(error.code)) return error;
  const better = await whatIsWrong(folder, error);
  return better ?? error;
}

async function whatIsWrong(folder: string, cause: unknown): Promise<PermafrostError | null> {
  const refusal = (code: ErrorCode, message: string) =>
    new PermafrostError(code, message, { cause });
  let entries: Dirent[];
  try {
    if (!(await stat(folder)).isDirectory()) {
      const [code, message] = whatFile(folder);
      return refusal(code, message);
    }
    entries = await readdir(folder, { withFileTypes: true });
  } catch (reason) {
    return refusal('ERR_MODEL_NOT_FOUND', whyNoFolder(folder, reason));
  }
  const names = entries.map(({ name }) => name);
  if (names.includes('config.json') && hasWeights(names)) return null;
  const [code, message] = await whatFolder(folder, entries, names);
  return refusal(code, message);
}

/** What the names of a model's files say is wrong with it; null when it is a checkpoint. */
export function whatFiles(
  names: readonly string[],
): { readonly code: ErrorCode; readonly text: string } | null {
  const isConfigured = names.includes('config.json');
  if (isConfigured && hasWeights(names)) return null;
  const foreign = hasWeights(names) ? null : foreignFormat(names);
  if (foreign !== null) return { code: 'ERR_UNSUPPORTED', text: `has ${foreignText(foreign, '')}` };
  return {
    code: 'ERR_MODEL_NOT_FOUND',
    text: `has no ${isConfigured ? 'model.safetensors' : 'config.json'}: it holds no model that Permafrost runs`,
  };
}

interface ForeignFormat {
  readonly what: string;
  readonly advice: string;
  /** Names of some of its files. */
  readonly found: readonly string[];
}

function foreignFormat(names: readonly string[]): ForeignFormat | null {
  for (const [pattern, what, advice] of FORMATS) {
    const found = names.filter((name) => pattern.test(name));
    if (found.length > 0) return { what, advice, found: found.slice(0, 3) };
  }
  return null;
}

function foreignText({ what, advice, found }: ForeignFormat, base: string): string {
  return `${what}${base} (${found.join(', ')}), which Permafrost does not run. ${advice}`;
}

function hasWeights(names: readonly string[]): boolean {
  return names.includes('model.safetensors') || names.includes('model.safetensors.index.json');
}

/** Of a path that can't be listed. */
function whyNoFolder(path: string, reason: unknown): string {
  const { code } = reason as NodeJS.ErrnoException;
  if (code !== 'ENOENT' && code !== 'ENOTDIR') {
    return `the model folder ${path} can't be read: ${reasonOf(reason)}`;
  }
  const missing = `the model folder ${path} does not exist`;
  const url = /\/((?:https?|hf|s3|gs|file):\/.*)$/.exec(path)?.[1];
  if (url !== undefined) {
    const id = hubNameInUrl(url);
    const what = id === null ? `${WANTED}; give its path` : `Give its name alone, ${id}`;
    return `${missing}: the model is given as a URL. ${what}`;
  }
  if (path.includes('/~/')) return `${missing}: '~' is the shell's, write the home folder out`;
  const [owner, name] = [basename(dirname(path)), basename(path)];
  return (
    `${missing}. If '${owner}/${name}' or '${name}' is the id of a model on the Hugging Face hub, give ` +
    `that alone, as OWNER/NAME, or download it first ('hf download ${owner}/${name} --local-dir ${name}')`
  );
}

/** Of a file in place of the folder. */
function whatFile(path: string): readonly [ErrorCode, string] {
  if (extname(path).toLowerCase() === '.gguf') {
    return ['ERR_UNSUPPORTED', `${path} is a GGUF file, which Permafrost does not run. ${WANTED}`];
  }
  return [
    'ERR_MODEL_NOT_FOUND',
    `${path} is a file, not a folder. ${WANTED}; perhaps ${dirname(path)} is meant`,
  ];
}

/** Of a folder without config.json or without weights. */
async function whatFolder(
  folder: string,
  entries: readonly Dirent[],
  names: readonly string[],
): Promise<readonly [ErrorCode, string]> {
  if (names.length === 0) {
    return ['ERR_MODEL_NOT_FOUND', `the model folder ${folder} is empty. ${WANTED}`];
  }
  const inner = await checkpointWithin(folder, entries);
  if (inner !== null) {
    return [
      'ERR_MODEL_NOT_FOUND',
      `${folder} holds no checkpoint itself, but ${inner} may be one: give that folder`,
    ];
  }
  const isConfigured = names.includes('config.json');
  if (isConfigured && names.some((name) => /^model-\d+-of-\d+\.safetensors$/.test(name))) {
    return [
      'ERR_MODEL_NOT_FOUND',
      `${folder} has the parts of a model, but not model.safetensors.index.json, which says what is in them: download that too`,
    ];
  }
  const foreign = hasWeights(names) ? null : foreignFormat(names);
  if (foreign !== null) {
    const base = foreign.what.includes('LoRA') ? await baseModel(folder) : '';
    return ['ERR_UNSUPPORTED', `${folder} has ${foreignText(foreign, base)}. ${WANTED}`];
  }
  const lacking = isConfigured ? 'model.safetensors' : 'config.json';
  return [
    'ERR_MODEL_NOT_FOUND',
    `${folder} has no ${lacking}: is it the folder of a model, and was it downloaded completely? ${WANTED}`,
  ];
}

/** A folder inside that has a config.json: a download cache's snapshot, or one level too high. */
async function checkpointWithin(
  folder: string,
  entries: readonly Dirent[],
): Promise<string | null> {
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (folders.includes('snapshots')) {
    const snapshots = await readdir(join(folder, 'snapshots')).catch(() => []);
    return snapshots[0] === undefined ? null : join(folder, 'snapshots', snapshots[0]);
  }
  if (entries.some(({ name }) => name === 'config.json')) return null;
  for (const name of folders.slice(0, 100)) {
    const isThere = await stat(join(folder, name, 'config.json')).catch(() => null);
    if (isThere !== null) return join(folder, name);
  }
  return null;
}

/** ` of X`, if the adapter says so. */
async function baseModel(folder: string): Promise<string> {
  try {
    const bytes = await readCheckpointFile(join(folder, 'adapter_config.json'));
    const config: unknown = JSON.parse(bytes?.toString('utf8') ?? '{}');
    const base = (config as { base_model_name_or_path?: unknown }).base_model_name_or_path;
    return typeof base === 'string' ? ` of ${base}` : '';
  } catch {
    return ''; // The name only makes the message better.
  }
}
