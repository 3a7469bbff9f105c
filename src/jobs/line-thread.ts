/** The thread in which large lines are read: started by line-parser.ts, never imported. */

import { parentPort } from 'node:worker_threads';
import { reasonOf } from '../protocol/errors.js';
import { parseFinishedRow } from './finished-row.js';
import { type LineAnswer, type LineTask, readRequestLine } from './line-parser.js';
import { lineText } from './line-reader.js';
import type { ReadLine } from './openai-request.js';

/** Lists of ids that are longer go as words, which need not be copied. */
const MAX_LISTED_IDS = 1024;

parentPort?.on('message', (task: LineTask) => {
  const answer = answerTo(task);
  const words = 'request' in answer ? promptsOf(answer.request).filter(isWords) : [];
  parentPort?.postMessage(
    answer,
    words.map(({ buffer }) => buffer as ArrayBuffer),
  );
});

function answerTo({ kind, bytes, maxLineBytes }: LineTask): LineAnswer {
  if (kind === 'request') return { request: withWords(readRequestLine(bytes, maxLineBytes)) };
  try {
    return { row: parseFinishedRow(lineText({ bytes }, maxLineBytes)) };
  } catch (error) {
    return { failure: reasonOf(error) };
  }
}

function withWords(read: ReadLine): ReadLine {
  const { parsed, request } = read;
  if (parsed.kind === 'error') return read;
  const prompts = parsed.prompts.map((prompt) =>
    Array.isArray(prompt) && prompt.length > MAX_LISTED_IDS ? Int32Array.from(prompt) : prompt,
  );
  return { parsed: { ...parsed, prompts }, request };
}

function promptsOf({ parsed }: ReadLine): readonly unknown[] {
  return parsed.kind === 'request' ? parsed.prompts : [];
}

function isWords(prompt: unknown): prompt is Int32Array {
  return ArrayBuffer.isView(prompt);
}
