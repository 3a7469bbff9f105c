/** The text pool's tasks over one loaded checkpoint. Rows fail alone; the tasks never reject. */

import { type ErrorRecord, PermafrostError } from '../protocol/errors.js';
import { monotonicMs } from '../protocol/phase-clock.js';
import {
  type DecodedRow,
  type DecodeRow,
  type DetokenizedRow,
  type DetokenizeRow,
  type DetokenizerState,
  type MaskedRow,
  type MaskJob,
  type MaskRow,
  type NamedRow,
  PROGRESS,
  type PreparedRow,
  type TextProgress,
  type TextPrompt,
  type TextReport,
  type TextState,
  type TextTasks,
  type TokenIds,
} from '../protocol/text-jobs.js';
import type { ChatTemplate } from './chat-template.js';
import { detokenize, startState } from './incremental-detokenizer.js';
import type { TextLayer } from './text-layer.js';
import { TokenMasker } from './token-masker.js';
import type { Tokenizer } from './tokenizer.js';

/** After so long a job gives what it has, so that other work gets its turn. */
const SLICE_MS = 100;

type Failure = { readonly error: ErrorRecord };

/** The tasks over a checkpoint that may still be loading: they wait for it. */
export function createTextTasks(loading: Promise<TextLayer>, now = monotonicMs): TextTasks {
  // Nobody may be waiting yet when loading fails; each task reports it.
  loading.catch(() => {});
  const perRow = async <Row, Result>(
    rows: readonly Row[],
    work: (layer: TextLayer, row: Row) => Result | Promise<Result>,
    progress: TextProgress | undefined,
    sliceMs = Number.POSITIVE_INFINITY,
  ): Promise<readonly (Result | Failure)[]> => {
    const layer = await loading.catch((error: unknown) => PermafrostError.toRecord(error));
    const results: (Result | Failure)[] = [];
    const endMs = now() + sliceMs;
    for (const [index, row] of rows.entries()) {
      if (index > 0 && now() > endMs) break;
      if (progress !== undefined) Atomics.store(progress, PROGRESS.row, index + 1);
      try {
        results.push('code' in layer ? { error: layer } : await work(layer, row));
      } catch (error) {
        results.push({ error: PermafrostError.toRecord(error) });
      }
    }
    return results;
  };
  let masker: TokenMasker | null = null;
  const maskRow = (layer: TextLayer, job: MaskJob, row: MaskRow): MaskedRow => {
    // Every job has the same model.
    masker ??= new TokenMasker(requireTokenizer(layer), job);
    const { sequence, constraintIndex, tokenIds } = row;
    const constraint = job.constraints[constraintIndex];
    if (constraint === undefined) {
      throw new PermafrostError('ERR_INTERNAL', `a mask of constraint ${constraintIndex}`);
    }
    masker.prepare();
    const startMs = now();
    const words = masker.mask({ sequence, constraint, tokenIds });
    const masked = { words, elapsedMs: now() - startMs };
    return tokenIds.length > 0 ? masked : { ...masked, notes: masker.notesOf(constraint) };
  };
  return {
    describe: () => loading.then(report, failure),
    prepare: ({ prompts, templateTimeoutMs }, progress) =>
      perRow(
        prompts,
        (layer, prompt) => prepareRow(layer, prompt, templateTimeoutMs),
        progress,
        SLICE_MS,
      ),
    detokenize: ({ rows }, progress) => perRow(rows, detokenizeRow, progress),
    decode: ({ rows }, progress) => perRow(rows, decodeRow, progress),
    nameTokens: ({ rows }, progress) => perRow(rows, nameRow, progress),
    maskTokens: async (job, progress) => {
      masker?.forget(job.ended);
      return perRow(job.rows, (layer, row) => maskRow(layer, job, row), progress, SLICE_MS);
    },
  };
}

function report({ tokenizer, chatTemplate }: TextLayer): TextReport {
  const isBroken = chatTemplate instanceof PermafrostError;
  return {
    kind: 'ready',
    hasTokenizer: tokenizer !== null,
    hasChatTemplate: chatTemplate !== null && !isBroken,
    vocabSize: tokenizer?.vocabSize ?? 0,
    eosTokenIds: tokenizer?.eosTokenIds ?? [],
    warnings: isBroken ? [chatTemplate.message] : [],
  };
}

function failure(error: unknown): TextReport {
  return { kind: 'failed', error: PermafrostError.toRecord(error) };
}

async function prepareRow(
  layer: TextLayer,
  prompt: TextPrompt,
  templateTimeoutMs: number,
): Promise<PreparedRow> {
  const tokenizer = requireTokenizer(layer);
  if (typeof prompt === 'string') {
    return { tokenIds: await tokenizer.encode(prompt, { addSpecialTokens: true }) };
  }
  const { messages, templateOptions = {} } = prompt;
  const text = requireChatTemplate(layer).render(messages, {
    addGenerationPrompt: true,
    templateOptions,
    timeoutMs: templateTimeoutMs,
  });
  return { tokenIds: await tokenizer.encode(text, { addSpecialTokens: false }) };
}

function detokenizeRow(layer: TextLayer, row: DetokenizeRow): DetokenizedRow {
  const { tokenizer } = layer;
  if (tokenizer !== null) {
    const table = tokenizer.textBytes;
    return detokenize(table, row.state ?? startState(table, row.before), row);
  }
  // Ids in, ids out: the text is empty, which is only wrong for someone who looks for a stop.
  if (row.stop !== undefined && row.stop.length > 0) requireTokenizer(layer);
  return { state: withoutText(row), text: '' };
}

const NO_TEXT: TextState = {
  isFirst: true,
  numToDrop: 0,
  pendingBytes: [],
  pendingEnds: [],
  uncleaned: '',
};

function withoutText({ state, tokenIds }: DetokenizeRow): DetokenizerState {
  const numTokens = (state?.numTokens ?? 0) + tokenIds.length;
  return { growing: NO_TEXT, heldText: '', numTokens, stopped: false };
}

function decodeRow({ tokenizer }: TextLayer, { tokenIds, before }: DecodeRow): DecodedRow {
  return { text: tokenizer === null ? '' : tokenizer.decode(tokenIds, { before }) };
}

function nameRow({ tokenizer }: TextLayer, tokenIds: TokenIds): NamedRow {
  if (tokenizer !== null) return tokenizer.nameTokens(tokenIds);
  const { length } = tokenIds;
  return {
    bytes: new Uint8Array(0),
    ends: new Int32Array(length),
    isSpecial: new Uint8Array(length),
  };
}

function requireTokenizer({ tokenizer }: TextLayer): Tokenizer {
  if (tokenizer !== null) return tokenizer;
  throw new PermafrostError(
    'ERR_NO_TOKENIZER',
    'the checkpoint has no tokenizer.json: give the prompt as token ids, and no stop strings',
  );
}

function requireChatTemplate({ chatTemplate }: TextLayer): ChatTemplate {
  if (chatTemplate instanceof PermafrostError) throw chatTemplate;
  if (chatTemplate !== null) return chatTemplate;
  throw new PermafrostError(
    'ERR_NO_CHAT_TEMPLATE',
    'the checkpoint has no chat template: give the prompt as text or token ids',
  );
}
