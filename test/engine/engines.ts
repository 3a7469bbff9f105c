/** What the engine suites share. Engines run from dist/: worker entries must be JavaScript. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type * as api from '../../src/index.js';

export const DIST = new URL('../../dist/', import.meta.url);
export const { Engine, runBatchFile } = (await import(
  new URL('index.js', DIST).href
)) as typeof api;

export const TINY = fileURLToPath(new URL('../../models/tiny', import.meta.url));
export const CLI = fileURLToPath(new URL('cli/main.js', DIST));

export function goldenModel(name: string): string {
  return fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));
}

export interface ReferencePrompt {
  readonly form: 'completion' | 'chat';
  readonly content: string;
  readonly promptIds: readonly number[];
  readonly answerIds: readonly number[];
  readonly answer: string;
}

export const referencePrompts = (
  JSON.parse(readFileSync(new URL('../fixtures/tiny-reference.json', import.meta.url), 'utf8')) as {
    prompts: readonly ReferencePrompt[];
  }
).prompts;

/** Ids of the processes that a process has started and that still run. */
export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  });
}

/** Whether a process runs; one that has ended but was not waited for does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
